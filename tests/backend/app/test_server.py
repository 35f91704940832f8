"""The protocol: every request, every refusal, heartbeats, cancelling, and the end of the process."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import Client, FakeParts, FakeProvider, FakeReconstructor
from im2hands import __version__
from im2hands.app.requests import Request, parse_request
from im2hands.core import devices
from im2hands.core.errors import SetupError

LOADED_SECONDS = 15.0
"""Limit for what takes two seconds on an idle machine."""


@pytest.fixture
def make_client() -> Iterator[Any]:
    made: list[Client] = []

    def make(parts: FakeParts | None = None) -> Client:
        made.append(Client(parts or FakeParts()))
        return made[-1]

    yield make
    for client in made:
        if not client._requests.closed:
            client.end_requests()
        client.thread.join(5)


def slow_parts(seconds: float = 30.0) -> FakeParts:
    return FakeParts(reconstructor=FakeReconstructor(delay=seconds))


def test_hello_says_what_is_there(make_client: Any) -> None:
    client = make_client()
    client.send("hello", "h1", protocol=1, client="test", later="ignored")
    ready = client.event()
    assert (ready["type"], ready["id"], ready["protocol"], ready["version"]) == ("ready", "h1", 1, __version__)
    assert ready["devices"][-1]["name"] == "cpu"
    assert "core" in ready["devices"][-1]["description"]
    assert {"name", "sha256", "found", "problem"} == set(ready["weights"][0])
    assert set(ready) == {"type", "id", "protocol", "version", "python", "devices", "weights", "platform"}


def test_hello_offers_no_card_that_does_not_compute(make_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def problem(device: Any) -> SetupError | None:
        tried.append(str(device))
        return SetupError("The card cannot be used: it is too old.") if device.index == 0 else None

    processor = devices.list_devices()[-1]
    cards = [devices.Device(f"cuda:{number}", "A card") for number in range(2)]
    monkeypatch.setattr(devices, "list_devices", lambda: [*cards, processor])
    monkeypatch.setattr(devices, "gpu_problem", problem)
    client = make_client()
    client.send("hello", "h1", protocol=1)
    assert [device["name"] for device in client.event()["devices"]] == ["cuda:1", "cpu"]
    assert tried == ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(
    ("protocol", "hint"), [(0, "Update the add-on"), (2, "Set up the backend again"), (None, "Set up")]
)
def test_hello_refuses_another_protocol_and_ends(make_client: Any, protocol: int | None, hint: str) -> None:
    client = make_client()
    client.send("hello", protocol=protocol)
    error = client.event()
    assert (error["type"], error["code"], error["fatal"]) == ("error", "protocol", True)
    assert hint in error["hint"]
    client.thread.join(3)
    assert not client.thread.is_alive()


def test_bad_lines_are_answered_and_survived(make_client: Any) -> None:
    client = make_client()
    for line in (
        b"nonsense\n",
        b"[1]\n",
        b'{"type": "status"}\n',
        b'{"id": "7"}\n',
        b"\xff\xfe\n",
        b"[" * 9999 + b"\n",
    ):
        client.send_raw(line)
        error = client.event()
        assert (error["type"], error["code"], error["fatal"]) == ("error", "bad_message", False)
        assert error["id"] == ("7" if b'"7"' in line else None)
    client.send_raw(b"\n")
    client.send("dance", "8")
    error = client.event()
    assert (error["code"], error["id"]) == ("unknown_type", "8")
    client.send("status", "9")
    assert client.event() == {"type": "status", "id": "9", "busy": False, "job": None, "version": __version__}


def test_reconstruct(make_client: Any, pictures: Path, tmp_path: Path) -> None:
    client = make_client()
    take = tmp_path / "Täke 手"
    client.send("reconstruct", "j", inputs=[str(pictures)], output=str(take), options={"step": 2, "later": 1})
    events = client.until("finished", "error")
    assert {event["id"] for event in events} == {"j"}
    assert [event["index"] for event in events if event["type"] == "frame"] == [3, 5]
    assert events[-1]["take"] == str(take)
    assert events[-1]["cancelled"] is False
    summary = events[-1]["summary"]
    assert {name: summary[name] for name in ("total", "ok", "partial", "empty", "failed", "reused")} == {
        "total": 2, "ok": 2, "partial": 0, "empty": 0, "failed": 0, "reused": 0,
    }  # fmt: skip
    frame = next(event for event in events if event["type"] == "frame")
    assert set(frame) == {"type", "id", "index", "status", "file", "message", "take"}
    client.send("reconstruct", "again", inputs=[str(pictures)], output=str(take), options={"step": 2})
    assert client.until("finished", "error")[-1]["summary"]["reused"] == 2


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"inputs": ["/nowhere.jpg"]}, "input", "There is no file or folder"),
        ({"inputs": "/nowhere.jpg", "options": {"step": "x"}}, "input", "step is 'x'"),
        ({"inputs": []}, "input", "No pictures"),
        ({}, "input", "inputs must be"),
        ({"inputs": ["a.jpg"], "options": {"fov": 400}}, "input", "fov is 400, it must be 1 to 170"),
    ],
)
def test_reconstruct_that_cannot_be(make_client: Any, tmp_path: Path, fields: dict, code: str, message: str) -> None:  # type: ignore[type-arg]
    client = make_client()
    client.send("reconstruct", "j", output=str(tmp_path / "take"), **fields)
    error = client.until("finished", "error")[-1]
    assert (error["id"], error["code"], error["fatal"]) == ("j", code, True)
    assert message in error["message"]
    client.send("status", "s")
    assert client.event()["busy"] is False


def test_one_job_at_a_time_with_heartbeats_and_cancel(make_client: Any, pictures: Path, tmp_path: Path) -> None:
    client = make_client(slow_parts())
    client.send("reconstruct", "j", inputs=[str(pictures)], output=str(tmp_path / "take"))
    client.send("reconstruct", "k", inputs=[str(pictures)], output=str(tmp_path / "other"))
    refusal = next(event for event in iter(client.event, None) if event["id"] == "k")
    assert (refusal["code"], refusal["fatal"]) == ("busy", False)
    times = []
    while len(times) < 3:
        event = client.event()
        if event["type"] == "heartbeat":
            assert (event["id"], event["job"]) == ("j", "j")
            times.append(time.monotonic())
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < LOADED_SECONDS
    client.send("status", "s")
    assert client.until("status")[-1]["job"] == "j"
    client.send("cancel", "c", job="other")
    assert client.until("error")[-1]["code"] == "no_such_job"
    began = time.monotonic()
    client.send("cancel", "c", job="j")
    finished = client.until("finished")[-1]
    assert time.monotonic() - began < LOADED_SECONDS
    assert finished["cancelled"] is True
    client.send("cancel", "c", job="j")
    assert client.until("error")[-1]["code"] == "no_such_job"


def test_a_cancelled_search_ends_and_the_next_job_runs(make_client: Any, pictures: Path, tmp_path: Path) -> None:
    client = make_client(FakeParts(FakeProvider(delay=2 * LOADED_SECONDS)))
    client.send("reconstruct", "j", inputs=[str(pictures)], output=str(tmp_path / "take"))
    client.until("warning")
    began = time.monotonic()
    client.send("cancel", "c", job="j")
    assert client.until("finished")[-1]["cancelled"]
    assert time.monotonic() - began < LOADED_SECONDS
    client.send("status", "s")
    assert client.until("status")[-1]["busy"] is False


def test_a_job_that_is_to_rig_what_is_done_goes_on_until_then(make_client: Any, pictures: Path, tmp_path: Path) -> None:
    client = make_client(FakeParts(reconstructor=FakeReconstructor(delay=0.1)))
    client.send("reconstruct", "j", inputs=[str(pictures)], output=str(tmp_path / "take"))
    client.until("frame")
    client.send("cancel", "c", job="j", rig=True)
    events = client.until("finished")
    assert events[-1]["cancelled"] and events[-1]["summary"]["ok"] == 4  # all hands were found
    assert [event["fraction"] for event in events if event["type"] == "progress"][-1] == 1.0


def test_shutdown_cancels_and_says_bye(make_client: Any, pictures: Path, tmp_path: Path) -> None:
    client = make_client(slow_parts())
    client.send("reconstruct", "j", inputs=[str(pictures)], output=str(tmp_path / "take"))
    client.until("warning")
    client.send("shutdown", "q")
    events = client.until("bye")
    assert any(event["type"] == "finished" and event["cancelled"] for event in events)
    assert events[-1]["id"] == "q"
    client.thread.join(3)
    assert not client.thread.is_alive()


def test_mistakes_of_ours_are_told_without_a_traceback(make_client: Any, pictures: Path, tmp_path: Path) -> None:
    class Broken(FakeReconstructor):
        def reconstruct(self, *arguments: object) -> dict:  # type: ignore[override,type-arg]
            raise ZeroDivisionError("oh\nno")

    client = make_client(FakeParts(reconstructor=Broken()))
    client.send("reconstruct", "j", inputs=[str(pictures)], output=str(tmp_path / "take"))
    error = client.until("error")[-1]
    assert (error["code"], error["fatal"]) == ("internal", True)
    assert "ZeroDivisionError: oh" in error["message"]
    assert "\n" not in error["message"]
    client.send("status", "s")
    assert client.until("status")[-1]["busy"] is False


def test_client_that_stops_listening_ends_the_server(make_client: Any, pictures: Path, tmp_path: Path) -> None:
    client = make_client(slow_parts())
    client.send("reconstruct", "j", inputs=[str(pictures)], output=str(tmp_path / "take"))
    client.until("warning")
    client.go_away()
    client.thread.join(5)
    assert not client.thread.is_alive()


def test_last_resort_ends_a_server_that_is_stuck(make_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def stuck(line: bytes) -> Request:
        release.wait(20)
        return parse_request(line)

    monkeypatch.setattr("im2hands.app.server.parse_request", stuck)
    client = make_client()
    client.send("status")
    client.end_requests()
    assert client.last_resort.wait(3.0)
    release.set()


def serve(tmp_path: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "IM2HANDS_STATE": str(tmp_path / "state")}
    command = [sys.executable, "-m", "im2hands", "serve"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd=tmp_path)


def test_real_process_ends_with_stdin_in_the_middle_of_a_job(tmp_path: Path, keypoint_job: dict[str, Any]) -> None:
    process = serve(tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    request = {"type": "reconstruct", "id": "j", **keypoint_job}
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()
    lines = []
    for line in process.stdout:
        lines.append(json.loads(line))
        if lines[-1]["type"] == "progress" and lines[-1]["phase"] == "surfaces":
            break
    began = time.monotonic()
    process.stdin.close()
    rest = process.stdout.read()
    assert process.wait(10) == 0
    assert time.monotonic() - began < LOADED_SECONDS
    for line in rest.splitlines():  # the output after that still follows the protocol
        json.loads(line)
    assert (tmp_path / "state" / "im2hands.log").is_file()


def test_stray_output_never_reaches_the_protocol(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from im2hands.app.terminal import claim_stdio\n"
        "requests, events = claim_stdio()\n"
        "print('python'); os.write(1, b'native\\n'); os.system('echo child')\n"
        "events.write(requests.readline()); events.flush(); assert os.read(0, 1) == b''\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=b"line\nmore\n", capture_output=True, timeout=60, check=True
    )
    assert done.stdout == b"line\n"
    for word in (b"python", b"native", b"child"):
        assert word in done.stderr

"""Odd input through the command line and the protocol: words and an exit code, never a mistake of ours."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes import Client, FakeParts, picture, write_picture
from im2hands.app.cli.main import main
from im2hands.core import memory
from im2hands.core.errors import InputError, SetupError
from im2hands.core.options import OPTIONS
from im2hands.core.person_path import person_path
from im2hands.weights.folder import list_weights, require_weights
from im2hands.weights.importer import import_checkpoints

LINES = 200
LONG = "x" * 5000
HUGE = "9" * 400
ODD_PATHS = [
    LONG,
    f"{'y/' * 3000}z",
    "~nobody-of-this-name/x",
    "a\0b",
    "",
    "/",
    "/dev/null/x",
    "\udcff",
    "-",
    " ",
]
REFUSED = (InputError.exit_code, SetupError.exit_code)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a test, with a picture, and components without networks."""
    write_picture(tmp_path / "good.png", picture())
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("im2hands.job.reconstruct.Components", FakeParts)
    monkeypatch.setattr("im2hands.app.selftest.Components", FakeParts)
    return tmp_path


def commands(odd: str) -> list[list[str]]:
    """Every place of the command line that takes a path, with an odd one."""
    job = ["reconstruct", "good.png", "-o", "take", "--no-clean"]
    return [
        ["clean", odd], ["export", odd, "--to", "glb"], ["export", odd, "--to", "ply"], ["benchmark", odd],
        ["weights", "list", "--folder", odd], ["weights", "import", odd, "--to", "w"],
        ["weights", "import", "good.png", "--to", odd], ["reconstruct", odd, "-o", "take"],
        ["reconstruct", "good.png", "-o", odd, "--frames", "7"], [*job, "--camera", odd],
        [*job, "--keypoints", odd], ["train", odd], ["evaluate", odd], [odd],
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(len(commands(""))))
@pytest.mark.parametrize("odd", [*ODD_PATHS, "folder"], ids=lambda odd: repr(odd[:12]))
def test_odd_paths(place: Path, odd: str, number: int, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = commands(odd)[number]
    if arguments == ["benchmark", ""]:
        pytest.skip("the bundled photo")
    code = main(arguments)
    printed = capfd.readouterr()
    assert "Traceback" not in printed.err
    assert "something went wrong inside" not in printed.err
    assert code in REFUSED, printed.err
    assert (printed.out if arguments[:2] == ["weights", "list"] else "") + printed.err.strip()


@pytest.mark.parametrize("value", [HUGE, f"-{HUGE}", "1e400", "nan", "-0", "٣", "0x10", "", "1" * 5000, "[]"])
@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.type in ("int", "float")])
def test_odd_numbers(place: Path, name: str, value: str, capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["reconstruct", "good.png", "-o", "take", "--no-clean", f"--{name.replace('_', '-')}={value}"])
    printed = capfd.readouterr().err
    assert "something went wrong inside" not in printed
    assert code in (0, *REFUSED)


@pytest.mark.parametrize("frames", [HUGE, f"{HUGE}-{HUGE}", "1" * 5000, "1-" * 999, "\0", "٣"])
def test_odd_frames(place: Path, frames: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", "good.png", "-o", "take", "--no-clean", "--frames", frames]) == InputError.exit_code
    assert "something went wrong inside" not in capfd.readouterr().err


@pytest.mark.parametrize("epoch", ["-99999999999999", "9" * 18, HUGE, "text", "1.5", " "])
def test_odd_source_date_epoch(
    place: Path, epoch: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    assert main(["reconstruct", "good.png", "-o", "take", "--no-clean"]) == InputError.exit_code
    assert "SOURCE_DATE_EPOCH" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["~nobody-of-this-name/x", "a\0b", LONG, "y/" * 3000])
def test_a_persons_path(text: str) -> None:
    with pytest.raises(InputError) as caught:
        person_path(text)
    assert len(str(caught.value)) < 400
    assert person_path("~") == Path.home()
    assert person_path("shots/\udcff") == Path("shots/\udcff")


def _values(random_: random.Random) -> list[Any]:
    """Values that a field of a request may have, and many that it may not."""
    number = int(HUGE) * random_.choice([1, -1])
    return [
        None, True, 0, -1, 1.5, number, 2**63, [], {}, [None], [[]], {"a": 1}, "", "x", "auto", "good.png", "folder",
        *ODD_PATHS, *[[path] for path in ODD_PATHS], ["good.png"] * 3, [1], "1-3", HUGE, {"step": number},
    ]  # fmt: skip


def random_line(random_: random.Random) -> bytes:
    """Make a line: a request with odd values, or bytes of one that were changed or cut off."""
    request: dict[str, Any] = {
        "type": random_.choice(["reconstruct"] * 5 + ["hello", "cancel", "status", *_values(random_)]),
        "id": random_.choice(["a", "b", *_values(random_)]),
        "inputs": random_.choice([["good.png"], ["good.png"], *_values(random_)]),
        "output": random_.choice(["take", "take2", *_values(random_)]),
        "protocol": 1, "job": "a",
    }  # fmt: skip
    names = random_.sample(list(OPTIONS), 3)
    request["options"] = random_.choice(
        [{"clean": False, **{name: random_.choice(_values(random_)) for name in names}}, *_values(random_)]
    )
    if isinstance(request["options"], dict):
        request["options"]["clean"] = False
    line = json.dumps(request).encode()
    if random_.random() < 0.3:
        place = random_.randrange(len(line))
        line = random_.choice([line[:place], line[:place] + bytes([random_.randrange(256)]) + line[place + 1 :]])
    return line.replace(b"\n", b" ") + b"\n"


@pytest.mark.parametrize("seed", range(4))
def test_no_line_of_the_protocol_is_an_internal_error(place: Path, seed: int) -> None:
    random_ = random.Random(seed)
    client = Client(FakeParts())
    client.send("status", "alive")
    client.until("status")
    for number in range(LINES // 4):
        line = random_line(random_)
        client.send_raw(line)
        client.send("status", f"s{number}")
        busy = True
        while busy:
            events = client.until("status")
            busy = events[-1]["busy"]
            assert not [event for event in events if event.get("code") == "internal"], line
            if busy:
                client.send("status", f"s{number}")
    client.end_requests()
    client.thread.join(5)


@pytest.mark.parametrize(
    "card", ["[1]", "{}", '{"sha256": null}', '{"sha256": 5}', '{"sha256": ""}', "null", "[" * 9999, '"x"', "\udcff"]
)
def test_cards_that_say_nothing_are_refused(tmp_path: Path, card: str) -> None:
    (tmp_path / "part_occupancy.safetensors").write_bytes(b"weights")
    (tmp_path / "part_occupancy.json").write_bytes(card.encode("utf-8", errors="surrogateescape"))
    (found,) = list_weights(tmp_path)
    assert "card part_occupancy.json cannot be read" in found.problem
    with pytest.raises(SetupError, match="card"):
        require_weights("part_occupancy", tmp_path)


def test_a_checkpoint_with_tensors_without_numbers(tmp_path: Path) -> None:
    import torch

    for name, content in {
        "meta": {"model": {"a": torch.ones(2)}, "loss_val_best": torch.empty(1, device="meta")},
        "meta weights": {"a": torch.empty(2, device="meta")},
        "huge": {"model": {"a": torch.ones(2)}, "loss_val_best": 10**400, "it": 10**400},
        "sparse": {"model": {"a": torch.ones(2)}, "loss_val_best": torch.ones(1).to_sparse()},
    }.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(InputError):
            import_checkpoints([tmp_path / name], tmp_path / "w")


@pytest.mark.parametrize(
    ("limits", "refused"),
    [([("limit", 10**9, 2000)], True), ([("limit", 3 * 2**30, 2000)], False), ([], False)],
)
def test_too_little_memory_is_said_before_networks_are_loaded(
    place: Path, limits: list[Any], refused: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "_limits", lambda: iter(limits))
    code = main(["reconstruct", "good.png", "-o", "take", "--no-clean"])
    assert code == (SetupError.exit_code if refused else 0)
    if refused:
        assert "too little memory: 953 MB (limit), and about 2000 MB are needed" in capfd.readouterr().err
        assert not (place / "take").exists()
    assert all(size > 0 for _, size, _ in memory._limits())


@pytest.mark.skipif(sys.platform != "linux", reason="limits on the address space")
@pytest.mark.parametrize("megabytes", [1000, 1500])
@pytest.mark.parametrize("command", ["reconstruct", "check"])
def test_a_process_with_little_memory_ends_in_words(tmp_path: Path, command: str, megabytes: int) -> None:
    write_picture(tmp_path / "good.png", picture())
    more = ["good.png", "-o", "take"] if command == "reconstruct" else []
    code = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({megabytes << 20}, {megabytes << 20}))"
    code += f"; from im2hands.app.cli.main import main; raise SystemExit(main({[command, *more]}))"
    own = {**os.environ, "IM2HANDS_STATE": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=own, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == SetupError.exit_code
    assert f"too little memory: {megabytes} MB" in done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="shells close streams there differently")
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["weights", "list"], 0), (["reconstruct", "none.jpg", "-o", "t", "--json"], 2), (["serve"], 0), (["clean"], 2)],
)
def test_closed_standard_streams(tmp_path: Path, closed: tuple[int, ...], arguments: list[str], code: int) -> None:
    own = {**os.environ, "IM2HANDS_STATE": str(tmp_path / "state")}
    redirected = " ".join(["</dev/null", *(f"{number}{'<' if number == 0 else '>'}&-" for number in closed)])
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m im2hands "$@" {redirected}', sys.executable, *arguments],
        cwd=tmp_path, env=own, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "something went wrong" not in done.stderr


def test_no_temporary_folder(tmp_path: Path) -> None:
    """No folder for logs and temporary files can be written; the job does not need one."""
    write_picture(tmp_path / "good.png", picture())
    code = """
import sys, tempfile
tempfile._candidate_tempdir_list = lambda: ["/dev/null/none"]
sys.path.insert(0, sys.argv[1])
from fakes import FakeParts
import im2hands.job.reconstruct as job
job.Components = FakeParts
from im2hands.app.cli.main import main
sys.exit(main(["reconstruct", "good.png", "-o", "take", "--no-clean"]))
"""
    own = {**os.environ, "IM2HANDS_STATE": "/dev/null/state"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parents[1])], cwd=tmp_path, env=own, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

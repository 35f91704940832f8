"""The server under 200 damaged requests with a fixed seed: each is answered or refused, and the server goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fakes import Client, FakeParts, picture, write_picture
from mutants import damaged_line

LINES = 200
REFUSALS = {"bad_message", "unknown_type", "bad_request", "busy", "protocol"}


def test_every_line_is_answered(tmp_path: Path) -> None:
    photo = write_picture(tmp_path / "photo.png", picture())
    requests = [
        {
            "type": "reconstruct",
            "id": "1",
            "inputs": [str(photo)],
            "output": str(tmp_path / "take"),
            "options": {"fov": 60},
        },
        {"type": "hello", "id": "2", "protocol": 1, "client": "test"},
        {"type": "status", "id": "3"},
        {"type": "cancel", "id": "4", "job": "1"},
    ]
    client, answers = Client(FakeParts()), 0
    random = np.random.default_rng(17)
    for number in range(LINES):
        line = damaged_line(json.dumps(requests[number % len(requests)]).encode(), random)
        if b"shutdown" in line or (b'"protocol": 1' not in line and b"hello" in line):
            continue  # these end the server, as they should
        client.send_raw(line + b"\n")
        client.send("status", f"after {number}")
        while client.event().get("id") != f"after {number}":
            answers += 1
    client.end_requests()
    client.thread.join(20)
    assert not client.thread.is_alive()
    assert answers > LINES / 2

"""A fake backend without networks that implements the protocol with a chosen behaviour.

    fake_server.py BEHAVIOUR FRAMES -I -m im2hands serve|check ...

Behaviours:

* good: finishes all frames.
* dies: is killed after two frames, the first time.
* silent: sends nothing after ``ready``.
* stubborn: ignores ``cancel``.
* slow: one frame every 0.2 s.
* old: refuses the protocol version.
* newer: uses another protocol version.
* noisy: writes other text and unknown messages to stdout.
* missing: im2hands is not installed.
* refuses: answers with the error code "input".
* fails: one frame fails.
* one_hand: frames have only one hand.
* finds: tells the hands of all frames, and waits until it is asked to rig them; a take that is there is finished.
* dies-PHASE: is killed in that phase, "hello" before all others; a continued job is finished.
* half: ends within a line of its answer.
* rubbish: sends what no backend sends, and then finishes all frames.
* rebuilds: makes the first half of the frames and waits for ``cancel``; continues at once, and rigs the hands; knows
  "rebuild".

No other one but "dies", "half" and "rubbish" knows the request "rebuild", as backends of earlier versions do not.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import animated
import numpy as np
import synthetic

KEYPOINTS = ["wrist", *(f"thumb_{joint}" for joint in ("cmc", "mcp", "ip", "tip"))]
KEYPOINTS += [
    f"{finger}_{joint}" for finger in ("index", "middle", "ring", "little") for joint in ("mcp", "pip", "dip", "tip")
]


def keypoints_at(side: str, index: int) -> list[list[float]]:
    """Keypoints that the behaviour "finds" tells of a frame."""
    return synthetic.keypoints(side, (0.09 if side == "left" else -0.09, 0.01 * index, 0.5)).tolist()


JOB_FIELDS = ("inputs", "output", "options")


class FakeServer:
    def __init__(self, behaviour: str, frames: int) -> None:
        self.behaviour = behaviour
        self.frames = frames
        self.requests: queue.Queue = queue.Queue()

    def say(self, kind: str, request: str | None, **fields) -> None:
        sys.stdout.buffer.write(
            json.dumps({"type": kind, "id": request, **fields}, ensure_ascii=False).encode() + b"\n"
        )
        sys.stdout.buffer.flush()

    def read_requests(self) -> None:
        for line in sys.stdin.buffer:
            self.requests.put(json.loads(line))
        os._exit(0)  # the backend must end when its stdin ends, whatever it is doing

    def serve(self) -> int:
        if self.behaviour == "missing":
            sys.stderr.write("/usr/bin/python: No module named im2hands\n")
            return 1
        threading.Thread(target=self.read_requests, daemon=True).start()
        while True:
            request = self.requests.get()
            if request["type"] == "hello":
                if self.behaviour == "dies-hello":
                    self.die()
                self.greet(request)
            elif request["type"] == "reconstruct":
                self.reconstruct(request)
            elif request["type"] == "rebuild":
                if self.behaviour == "dies":
                    self.die()
                if self.behaviour == "silent":
                    continue
                self.misbehave(request["id"])
                if self.behaviour in ("rebuilds", "rubbish"):
                    self.rebuild(request)
                    continue
                hint = "Known are hello, reconstruct, cancel, status, shutdown."
                message = 'There is no request of type "rebuild".'
                self.say("error", request["id"], code="unknown_type", message=message, hint=hint, fatal=False)
            elif request["type"] == "clean":
                self.clean(request)
            elif request["type"] == "shutdown":
                self.say("bye", request["id"])
                return 0

    def clean(self, request: dict) -> None:
        """Say in the take with which options it was cleaned; the motion stays as it is."""
        if self.behaviour == "dies":
            self.die()
        path = Path(request["take"]) / "take.json"
        data = json.loads(path.read_text("utf-8"))
        data["clean"]["settings"] = request["options"]
        path.write_text(json.dumps(data, ensure_ascii=False), "utf-8")
        self.say("progress", request["id"], phase="clean", done=1, total=1, seconds_left=0.0)
        self.say("finished", request["id"], take=request["take"], cancelled=False, summary={"total": 1, "ok": 1})

    def greet(self, request: dict) -> None:
        assert request["protocol"] == 1
        if self.behaviour == "old":
            hint = "Install a backend that fits."
            self.say(
                "error", request["id"], code="protocol", message="Protocol 1 is not spoken here.", hint=hint, fatal=True
            )
            return
        if self.behaviour == "noisy":
            sys.stdout.write("a library says hello\n[1, 2]\n")
            sys.stdout.flush()
            self.say("gossip", None, about="nothing")
        protocol = 9 if self.behaviour == "newer" else 1
        self.say(
            "ready", request["id"], protocol=protocol, version="0", python="3", devices=[], weights=[], platform=""
        )

    def reconstruct(self, request: dict) -> None:
        assert all(name in request for name in JOB_FIELDS)
        job, folder = request["id"], Path(request["output"])
        if self.behaviour == "silent":
            return
        self.misbehave(job)
        if self.behaviour == "refuses":
            message = f"{request['inputs'][0]} is not a picture."
            self.say("error", job, code="input", message=message, hint="Choose another.", fatal=True)
            return
        if self.behaviour == "finds":
            self.find(request, job, folder)
            return
        known = (
            json.loads((folder / "take.json").read_text("utf-8"))["frames"] if (folder / "take.json").is_file() else []
        )
        reused = {record["index"] for record in known if request["options"].get("resume")}
        self.say("warning", job, message="The focal length is assumed.", hint="Give the field of view.")
        for phase in ("open", "weights", "keypoints", "drafts") if self.behaviour.startswith("dies-") else ():
            self.say("progress", job, phase=phase, done=0, total=3, seconds_left=None)
            if self.behaviour == f"dies-{phase}" and not reused:
                self.die()
        cancelled, statuses = False, []
        for index in range(1, self.frames + 1):
            self.say(
                "progress",
                job,
                phase="surfaces",
                done=index - 1,
                total=self.frames,
                seconds_left=1.5,
                fraction=(index - 1) / self.frames,
            )
            self.say("heartbeat", job, job=job)
            if self.behaviour == "noisy":
                self.say("progress", job, phase="surfaces", done="many", total=None, seconds_left="soon")
            if self.behaviour in ("slow", "stubborn"):
                time.sleep(0.2)
            elif self.behaviour == "rebuilds" and not reused:
                time.sleep(0.2)
                while index > self.frames // 2 and self.requests.empty():
                    self.say("heartbeat", job, job=job)
                    time.sleep(0.2)
            cancelled = self.behaviour != "stubborn" and self.was_cancelled()
            if cancelled:
                break
            if index not in reused:
                self.write(folder, request, index)
            failed = self.behaviour == "fails" and index == 2
            statuses.append("failed" if failed else "partial" if self.behaviour == "one_hand" else "ok")
            file = "" if failed else f"frames/{index:06d}.npz"
            message = "It was too dark." if failed else ""
            self.say("frame", job, index=index, status=statuses[-1], file=file, message=message, take=str(folder))
            if self.behaviour in ("dies", "dies-surfaces") and index == 2 and not reused:
                self.die()
        if self.behaviour == "dies-clean" and not reused:
            self.say("progress", job, phase="clean", done=0, total=1, seconds_left=None)
            self.die()
        if self.behaviour == "rebuilds" and not cancelled:
            images = dict.fromkeys(range(1, self.frames + 1), request["inputs"][0])
            animated.write(folder, animated.make(self.frames), images=images, keep=True)
        counts = {name: statuses.count(name) for name in ("ok", "partial", "empty", "failed")}
        summary = {"total": len(statuses), **counts, "reused": len(reused), "seconds": 0.1}
        self.say("finished", job, take=str(folder), cancelled=cancelled, summary=summary)

    def find(self, request: dict, job: str, folder: Path) -> None:
        image, indices = request["inputs"][0], range(1, self.frames + 1)
        header = {
            "source": {"kind": "images", "inputs": request["inputs"], "files": [image], "first": 1, "step": 1},
            "settings": {"clean": True, "quality": request["options"]["quality"], "of_another_version": 1},
        }
        goes_on = (folder / "take.json").is_file()
        if not goes_on:
            synthetic.write_take(folder, {}, changes={**header, "unfinished": True})
        for index in indices:
            points = {side: keypoints_at(side, index) for side in ("left", "right")}
            self.say("hands", job, index=index, hands=points, image=image)
            self.say("progress", job, phase="keypoints", done=index, total=self.frames, seconds_left=70, fraction=0.1)
        self.say("hands", job, index=1, hands={"left": [[0, 0]]}, image=image)
        self.say("progress", job, phase="surfaces", done=0, total=self.frames, seconds_left=60, fraction=0.05)
        rigged = goes_on
        while not goes_on:
            asked = self.requests.get()
            if asked["type"] == "cancel":
                rigged = asked["rig"]
                break
        if rigged:
            frames = dict.fromkeys(indices, ("left", "right"))
            left = {} if goes_on else {"unfinished": True}
            synthetic.write_take(folder, frames, images=dict.fromkeys(frames, image), changes={**header, **left})
            for index in indices:
                self.say(
                    "frame", job, index=index, status="ok", file=f"frames/{index:06d}.npz", message="", take=str(folder)
                )
        count = self.frames if rigged else 0
        summary = {"total": count, "ok": count, "partial": 0, "empty": 0, "failed": 0, "reused": 0, "seconds": 0.1}
        self.say("finished", job, take=str(folder), cancelled=not goes_on, summary=summary)

    def misbehave(self, job: str) -> None:
        """What "half" and "rubbish" say first."""
        if self.behaviour == "half":
            sys.stdout.buffer.write(b'{"type": "frame", "id": "' + job.encode() + b'", "ind')
            sys.stdout.buffer.flush()
            os._exit(0)
        if self.behaviour == "rubbish":
            self.talk_rubbish(job)

    def talk_rubbish(self, job: str) -> None:
        """Lines that are no messages, and messages whose fields are of other kinds."""
        for line in (b"\xff\xfe\x00", b"[" * 100_000, b'{"type": 5}', b'{"type": "__init__"}', b"{}", b"1" * 5000, b""):
            sys.stdout.buffer.write(line + b"\n")
        odd = (None, [], {}, "x", -1, 1e400, True, [[1]])
        for kind in ("progress", "hands", "frame", "warning", "finished", "ready", "no_such", "end", "fail"):
            for value in odd if kind != "finished" else ():
                names = (
                    "phase",
                    "done",
                    "total",
                    "seconds_left",
                    "fraction",
                    "hands",
                    "index",
                    "status",
                    "message",
                    "hint",
                    "protocol",
                )
                self.say(kind, job, **dict.fromkeys(names, value))
        for value in odd:
            self.say("error", job, code=value, message=value, hint=value, fatal=False)

    def rebuild(self, request: dict) -> None:
        """Write the corrections, and move corrected keypoints to their pixels, at the depth that they have."""
        folder, job = Path(request["take"]), request["id"]
        cam = json.loads((folder / "take.json").read_text("utf-8"))["camera"]
        made = set()
        for edit in request["edits"]["edits"]:
            if edit["kind"] != "keypoints":
                continue
            path = folder / "frames" / f"{edit['frame']:06d}.npz"
            with np.load(path) as stored:
                arrays = dict(stored)
            points = arrays[f"{edit['side']}_keypoints"]
            for name, (x, y, *_) in edit["points"].items():
                z = points[KEYPOINTS.index(name), 2]
                points[KEYPOINTS.index(name)] = (x - cam["cx"]) * z / cam["fx"], (y - cam["cy"]) * z / cam["fy"], z
            np.savez(path, **arrays)
            made.add(edit["frame"])
        (folder / "edits.json").write_text(json.dumps(request["edits"]), "utf-8")
        for index in sorted(made):
            file = f"frames/{index:06d}.npz"
            self.say("frame", job, index=index, status="ok", file=file, message="", take=str(folder))
        summary = {"total": len(made), "ok": len(made), "partial": 0, "empty": 0, "failed": 0, "reused": 0}
        self.say("finished", job, take=str(folder), cancelled=False, summary={**summary, "seconds": 0.1})

    def die(self) -> None:
        sys.stderr.write("out of luck\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    def was_cancelled(self) -> bool:
        while not self.requests.empty():
            if self.requests.get()["type"] == "cancel":
                return True
        return False

    def write(self, folder: Path, request: dict, index: int) -> None:
        """Write the take as it is after frame ``index``; earlier frames are written again unchanged."""
        sides = ("left",) if self.behaviour == "one_hand" else ("left", "right")
        frames = dict.fromkeys(range(1, index + 1), sides)
        failed = (2,) if self.behaviour == "fails" else ()
        images = dict.fromkeys(frames, request["inputs"][0])
        synthetic.write_take(folder, frames, images=images, failed=failed, keep=True)


def check(behaviour: str) -> int:
    if behaviour == "missing":
        sys.stderr.write("/usr/bin/python: No module named im2hands\n")
        return 1
    findings = [
        {"name": "Python", "ok": True, "message": "3.12", "hint": ""},
        {"name": "weights", "ok": behaviour == "good", "message": "part_occupancy", "hint": "Fetch them."},
    ]
    report = {"ok": behaviour == "good", "version": "0.1.0", "findings": findings, "self_test": None}
    sys.stdout.write(json.dumps(report))
    return 0 if report["ok"] else 3


if __name__ == "__main__":
    sys.exit(check(sys.argv[1]) if "check" in sys.argv else FakeServer(sys.argv[1], int(sys.argv[2])).serve())

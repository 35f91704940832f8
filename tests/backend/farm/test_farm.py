"""A Ray cluster of two machines on this one: results are the same bytes as here, and a lost machine costs little."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeParts, keypoint_rows
from im2hands.app.cli.main import main
from im2hands.core import farm
from im2hands.core.errors import Cancelled, InputError, SetupError
from im2hands.core.farm import on_cluster, spread
from im2hands.job.events import Event, FrameDone
from im2hands.job.options import ReconstructOptions
from im2hands.job.reconstruct import ReconstructJob
from im2hands.lab.datasets.rgb2hands import Rgb2Hands
from im2hands.lab.evaluation.marked_photos import evaluate_photos
from interhand_files import write_interhand
from mano_files import write_mano
from marked_files import write_rgb2hands
from scene_pictures import make_set

ray = pytest.importorskip("ray")

TESTS = Path(__file__).parents[1]
STORE_BYTES = 80 * 2**20


class TwoMachines:
    """A cluster of a head without processors and two machines with one each, as Ray sees them."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._machines = [self._add(), self._add()]
        self.address = self._cluster.address

    def _add(self) -> Any:
        return self._cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)

    def kill_one(self) -> None:
        """Kill a machine with all its processes."""
        self._cluster.remove_node(self._machines.pop(0), allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def machines() -> Iterator[TwoMachines]:
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(TESTS), str(Path(__file__).parent), *filter(None, [before.get("PYTHONPATH")])]
    )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = TwoMachines()
    os.environ["RAY_ADDRESS"] = made.address
    ray.init(log_to_driver=False)  # one connection for all tests but the last: its workers are used again
    yield made
    ray.shutdown()  # a machine that the connection uses cannot be removed
    made.close()
    os.environ.clear()
    os.environ.update(before)


def scaled(factor: int, number: int) -> int:
    if number == 13:
        raise InputError("13 is refused.", "Give another.")
    return factor * number


def ended(marks: Path, number: int) -> int:
    """Kill the own process at the number 2: once if ``marks`` is a folder, else always."""
    if number == 2 and not (marks / "mark").exists():
        if marks.is_dir():
            (marks / "mark").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def slow(number: int) -> int:
    time.sleep(60 if number else 0)
    return number


def test_results_come_in_order_and_errors_as_they_are(machines: TwoMachines) -> None:
    assert list(spread(partial(scaled, 3), range(9), 1, "", "ray")) == [3 * number for number in range(9)]
    found = on_cluster(partial(scaled, 3), [1, 13, 2], "")
    assert next(found) == 3
    with pytest.raises(InputError, match="13 is refused") as caught:
        next(found)
    assert caught.value.hint == "Give another."


def test_a_worker_that_dies_is_replaced(machines: TwoMachines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(on_cluster(partial(ended, tmp_path), range(5), "")) == list(range(5))
    assert (tmp_path / "mark").exists()
    monkeypatch.setattr(farm, "RETRIES", 1)
    for_ever = partial(ended, tmp_path / "nowhere")
    assert list(on_cluster(for_ever, range(4), "", lost=lambda reason: -1)) == [0, 1, -1, 3]
    with pytest.raises(SetupError, match="lost 2 times") as caught:
        list(on_cluster(for_ever, range(4), "Do less."))
    assert caught.value.hint == "Do less."


def test_a_person_can_stop(machines: TwoMachines) -> None:
    def check() -> None:
        if time.monotonic() - began > 1:
            raise Cancelled("Stopped.")

    began = time.monotonic()
    found = on_cluster(slow, range(4), "", check=check)
    with pytest.raises(Cancelled):
        list(found)
    assert time.monotonic() - began < 30


def test_what_a_cluster_lacks_is_said(machines: TwoMachines, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SetupError, match="graphics card"):
        list(on_cluster(slow, [0], "", gpu=True))
    monkeypatch.setattr(farm, "__version__", "0.0.1")
    with pytest.raises(SetupError, match=r"this one has 0\.0\.1"):
        list(on_cluster(slow, [0], ""))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_prepared_split_and_its_table_are_the_same(machines: TwoMachines, tmp_path: Path) -> None:
    mano = write_mano(tmp_path / "mano")
    mini = write_interhand(tmp_path / "mini", mano=mano)
    command = ["data", "prepare", "interhand", "--root", str(mini.root), "--split", "test", "--mano", str(mano)]
    command += ["--points", "500", "--limit", "4", "--workers", "1"]
    for executor in ("local", "ray"):
        assert main([*command, "--out", str(tmp_path / executor), "--executor", executor]) == 0
    here, there = (files(tmp_path / executor / "test") for executor in ("local", "ray"))
    assert len(here) > 20 and here == there
    shapes = ["evaluate", "shapes", "--data", str(tmp_path / "local" / "test"), "--every", "2", "--device", "cpu"]
    shapes += ["--reconstruct", "HALO=halo", "--voxel-mm", "6", "--surface-points", "500", "--interior-points", "200"]
    for executor in ("local", "ray"):
        assert main([*shapes, "--output", str(tmp_path / "table" / executor), "--executor", executor]) == 0
    here, there = (files(tmp_path / "table" / executor) for executor in ("local", "ray"))
    assert sum(name.endswith(".off") for name in here) == 4 and here == there


def test_scores_are_the_same(machines: TwoMachines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sys.path.insert(0, str(TESTS / "lab"))
    from prepared_layout import canonical_hand, opened, write_hand

    from im2hands.lab.evaluation.measures import sealed

    mesh, joints = canonical_hand()
    for name in ("0_12_left", "0_12_right", "0_15_right"):
        write_hand(tmp_path / "data", name, sealed(opened(mesh)), joints, points=2000, cloud=2000)
    monkeypatch.chdir(tmp_path)
    command = ["evaluate", "shapes", "--data", "data", "--method", "true=data/mesh,frame=canonical"]
    command += ["--surface-points", "1000", "--interior-points", "500"]
    for executor in ("local", "ray"):
        assert main([*command, "--output", executor, "--executor", executor]) == 0
    assert files(tmp_path / "local") == files(tmp_path / "ray")


def test_the_table_is_measured(machines: TwoMachines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_set(tmp_path / "world", 2, 0)
    command = ["evaluate", "table", "--data", "world", "--sources", "exact", "--methods", "halo", "--voxel-mm", "6"]
    found = {}
    for executor in ("local", "ray"):
        assert main([*command, "--device", "cpu", "--output", executor, "--executor", executor]) == 0
        lines = (tmp_path / executor / "results-1-of-1.jsonl").read_text("utf-8").splitlines()
        found[executor] = [json.loads(line) for line in lines]
    here, there = found.values()
    assert [row["scene"] for row in here] == [row["scene"] for row in there] == [0, 1]
    for one, other in zip(here, there, strict=True):  # here it is computed with more threads
        for name in ("iou", "mpjpe_mm"):
            assert one[name] == pytest.approx(other[name], abs=1e-3), name


def without_seconds(report: Any) -> Any:
    """A report without what differs from run to run."""
    if isinstance(report, dict):
        return {name: without_seconds(value) for name, value in report.items() if not name.startswith("seconds")}
    return report


def test_keypoints_are_measured_the_same(
    machines: TwoMachines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    make_set(tmp_path / "world", 1, 0)
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps(keypoint_rows(range(5))), "utf-8")
    found = {}
    for executor in ("local", "ray"):
        assert main(["evaluate", "keypoints", "--data", str(tmp_path / "world"), "--providers", "network",
                     "--json", "--executor", executor]) == 0  # fmt: skip
        scenes = without_seconds(json.loads(capsys.readouterr().out))
        assert main(["evaluate", "video", "--truth", str(truth), "--method", f"a={truth}", "--method", "b=",
                     "--json", "--executor", executor]) == 0  # fmt: skip
        found[executor] = scenes, json.loads(capsys.readouterr().out)
    assert found["local"] == found["ray"]
    assert found["ray"][0]["providers"]["network"]["two_hand_pictures"] == 1 and len(found["ray"][1]["rows"]) == 2


def test_marked_photos_are_measured_the_same(machines: TwoMachines, tmp_path: Path, fixed_date: None) -> None:
    write_rgb2hands(tmp_path, write_mano(tmp_path / "mano"))
    photos = list(Rgb2Hands(tmp_path).photos("seq04_scratch"))
    results = [
        evaluate_photos(photos, tmp_path / executor, FakeParts(), executor=executor) for executor in ("local", "ray")
    ]
    assert results[0] == results[1] and all(result.found for result in results[0])
    here, there = (files(tmp_path / executor) for executor in ("local", "ray"))
    assert here.keys() == there.keys()
    assert all(here[name] == there[name] for name in here if name.endswith((".npz", ".jpg")))


# The last test: it leaves one machine, and makes a connection of its own.
def test_a_machine_that_is_lost_costs_only_its_frames(
    machines: TwoMachines, keypoint_job: dict[str, Any], fixed_date: None
) -> None:
    ray.shutdown()
    takes: dict[str, Path] = {}
    events: list[Event] = []

    def event(one: Event) -> None:
        events.append(one)
        if isinstance(one, FrameDone) and one.index == 2 and "ray" in takes:
            machines.kill_one()

    for executor in ("local", "ray"):
        takes[executor] = Path(keypoint_job["output"]).with_name(executor) / "take"
        given = {**keypoint_job, "output": str(takes[executor])}
        given["options"] = {**keypoint_job["options"], "executor": executor}
        finished = ReconstructJob(ReconstructOptions.from_request(given), event, lambda: False).run()
        assert asdict(finished.summary) | {"seconds": 0} == {
            "total": 5, "ok": 5, "partial": 0, "empty": 0, "failed": 0, "reused": 0, "seconds": 0,
        }  # fmt: skip
    here, there = (files(takes[executor]) for executor in ("local", "ray"))
    assert here == there
    assert json.loads(here["take.json"])["frames"][4]["status"] == "ok"

"""Takes of parts of one source are joined, and the Flamenco job type that makes such parts."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from im2hands.app.cli.main import build_parser, main
from im2hands.core.errors import InputError
from im2hands.job.events import Event, Finished
from im2hands.take.join import join_takes
from im2hands.take.take import Take

Run = Callable[..., tuple[Finished, list[Event]]]
JOB_TYPE = Path(__file__).parents[3] / "contrib" / "flamenco" / "im2hands_reconstruct.js"


def parts_of(pictures: Path, run_job: Run, folder: Path, **options: object) -> list[Path]:
    made = []
    for frames in ("1-2", "3-4"):
        made.append(folder / frames)
        run_job(pictures, made[-1], frames=frames, sequence="no", **options)
    return made


def test_the_joined_take_is_that_of_one_job(pictures: Path, run_job: Run, tmp_path: Path, fixed_date: None) -> None:
    parts = parts_of(pictures, run_job, tmp_path / "parts", footage="always")
    run_job(pictures, tmp_path / "whole", frames="1-2,3-4", sequence="no", footage="always")
    assert main(["join", *map(str, reversed(parts)), "--output", str(tmp_path / "joined")]) == 0
    whole, joined = tmp_path / "whole", tmp_path / "joined"
    for file in ("frames", "footage"):
        names = sorted(path.name for path in (whole / file).iterdir())
        assert names == sorted(path.name for path in (joined / file).iterdir()) and len(names) == 4
        assert all((whole / file / name).read_bytes() == (joined / file / name).read_bytes() for name in names)
    one, two = (json.loads((folder / "take.json").read_text("utf-8")) for folder in (whole, joined))
    assert one == two
    assert main(["join", str(parts[0]), "--output", str(joined)]) == 2


def test_a_cleaned_part_gives_raw_hands(pictures: Path, run_job: Run, tmp_path: Path) -> None:
    parts = parts_of(pictures, run_job, tmp_path / "parts")
    take = Take.open(parts[0])
    take.add_arrays(1, {"left_template_vertices": np.zeros((4, 3), np.float32)})
    take.records[1].hands["left"]["status"] = "doubtful"
    take.header["clean"] = {"hands": ["left"]}
    take.save()
    joined = join_takes(parts, tmp_path / "joined")
    assert "clean" not in joined.header and "status" not in Take.open(joined.folder).records[1].hands["left"]
    assert "template_vertices" not in joined.read_frame(1)["left"]


def test_a_frame_that_failed_is_taken_from_another_part(pictures: Path, run_job: Run, tmp_path: Path) -> None:
    parts = parts_of(pictures, run_job, tmp_path / "parts")
    take = Take.open(parts[0])
    take.records[2].status = "failed"
    take.save()
    run_job(pictures, tmp_path / "again", frames="2", sequence="no")
    joined = join_takes([*parts, tmp_path / "again"], tmp_path / "joined")
    assert [record.status for record in joined.frames()] == ["ok"] * 4


@pytest.mark.parametrize(
    ("change", "words"), [({"fov": 40.0}, "camera"), ({"voxel_mm": 3.0}, "settings"), ({"step": 2}, "pictures")]
)
def test_parts_that_do_not_belong_together(
    pictures: Path, run_job: Run, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    run_job(pictures, tmp_path / "a", frames="3-4")
    run_job(pictures, tmp_path / "b", frames="5-6", **change)
    with pytest.raises(InputError, match=f"differ in their {words}"):
        join_takes([tmp_path / "a", tmp_path / "b"], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_parts_that_are_no_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["join", str(tmp_path / "nothing"), "--output", str(tmp_path / "joined")]) == 2
    assert "There is no take in" in capsys.readouterr().err and not (tmp_path / "joined").exists()


MANAGER = """
const tasks = [];
const author = {
    Task: (name, type) => {
        const task = { name, type, commands: [], after: [] };
        task.addCommand = (command) => task.commands.push(command);
        task.addDependency = (other) => task.after.push(other.name);
        return task;
    },
    Command: (name, parameters) => ({ name, ...parameters }),
};
const frameChunker = (frames, size) => ["1-60", "61-90"];
const job = { settings: %s, addTask: (task) => tasks.push(task) };
%s
compileJob(job);
console.log(JSON.stringify({ tasks, keys: JOB_TYPE.settings.map((one) => one.key) }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run JavaScript")
def test_the_flamenco_job_type() -> None:
    settings = {
        "source": "/farm/clip.mp4", "take": "/farm/take", "frames": "1-90", "chunk_size": 60, "clean": True,
        "options": '--hands both --camera "/farm/my camera.json"', "executable": "im2hands",
    }  # fmt: skip
    script = MANAGER % (json.dumps(settings), JOB_TYPE.read_text("utf-8"))
    done = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, check=True, timeout=60)
    made = json.loads(done.stdout)
    assert set(made["keys"]) == set(settings)
    *hands, join = made["tasks"]
    assert [task["name"] for task in hands] == join["after"] == ["hands-1-60", "hands-61-90"]
    commands = [command for task in made["tasks"] for command in task["commands"]]
    for command in commands:
        assert (command["name"], command["exe"]) == ("exec", "im2hands")
        build_parser().parse_args(command["args"])
    first = build_parser().parse_args(commands[0]["args"])
    assert (first.frames, first.clean, first.hands, first.camera) == ("1-60", False, "both", "/farm/my camera.json")
    joined, cleaned = (build_parser().parse_args(command["args"]) for command in join["commands"])
    assert joined.parts == ["/farm/take.parts/1-60", "/farm/take.parts/61-90"] and cleaned.take == joined.output

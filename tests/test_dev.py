"""dev.py and dev_tools, the pinned environments, the tracked files, the contents of the wheel, and the demo photos."""

from __future__ import annotations

import importlib.metadata as metadata
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "demo")]

import dev  # noqa: E402
from dev_tools import choices, environments, extension, lanes, options_page, processes, window  # noqa: E402
from dev_tools.choices import BPYS, DevError, Interpreter  # noqa: E402

PY310, PY311, PY312, PY313, PY314 = (Interpreter(f"/python3.{minor}", (3, minor)) for minor in range(10, 15))


# --- choices


@pytest.mark.parametrize("running", [PY311, PY312, PY313])
def test_backend_runs_on_the_running_python_if_it_fits(running):
    assert choices.choose_backend_python(running, [PY311]) is running


def test_backend_falls_back_to_another_python():
    assert choices.choose_backend_python(PY314, [PY312, PY313]) is PY312
    with pytest.raises(DevError, match=r"3\.14"):
        choices.choose_backend_python(PY314, [PY310])


@pytest.mark.parametrize(
    ("pythons", "name", "python"),
    [
        ([PY311, PY313], "4.2", PY311),
        ([PY313, PY311, PY313], "4.2", PY311),
        ([PY312, PY311], "4.2", PY311),
        ([PY312, PY313], "5.2", PY313),
    ],
)
def test_the_oldest_bpy_that_fits_a_python(pythons, name, python):
    bpy, chosen = choices.choose_bpy(pythons)
    assert (bpy.name, chosen) == (name, python)


@pytest.mark.parametrize(
    ("on_path", "pythons", "name"),
    [
        (None, [PY313, PY311], "4.2"),
        ((5, 0), [PY313, PY311], "4.2"),
        ((4, 3), [PY313], None),
        ((5, 3), [PY313], "5.2"),
        ((4, 2), [PY311], None),
        ((5, 2), [PY312], None),
    ],
)
def test_files_are_written_by_the_oldest_blender_that_can_be_had(on_path, pythons, name):
    found = choices.choose_demo_blender(on_path, pythons)
    assert (found[0].name if found else None) == name


def test_no_bpy_for_312_says_what_to_install():
    with pytest.raises(DevError, match=r"3\.12.*Install Blender, or Python 3\.11"):
        choices.choose_demo_blender(None, [PY312, PY312])
    assert choices.fitting_bpy([]) is None


def test_bpys_stand_oldest_first():
    assert [bpy.series for bpy in BPYS] == sorted(bpy.series for bpy in BPYS)
    assert BPYS[0].series == (4, 2)


@pytest.mark.parametrize(
    ("on_path", "pythons", "starts"),
    [
        (None, [PY313, PY311], ["blender-4.2 of /python3.11"]),
        (("/bin/blender", (5, 2)), [PY313, PY311], ["blender-4.2 of /python3.11"]),
        (("/bin/blender", (4, 2)), [PY311], ["/bin/blender", "-b"]),
    ],
)
def test_the_demo_runs_in_the_oldest_blender(monkeypatch, tmp_path, on_path, pythons, starts):
    """One run of the demo's script, in the Blender that the command starts, writes all .blend files."""
    commands = []

    def run(command, timeout, extra):
        commands.append([str(part) for part in command])
        folder = Path(commands[0][commands[0].index("--output") + 1])
        for name in ("take/take.json", "hands.blend", "hands.png", "clip_take/motion.npz", "clip.blend"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
        for name in ("clip_clean.blend", "clip.png"):
            (folder / name).touch()
        return 0

    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "BUILD", tmp_path / "build")
    monkeypatch.setattr(dev, "run", run)
    monkeypatch.setattr(dev, "blender_on_path", lambda: on_path)
    monkeypatch.setattr(dev, "pythons", lambda: pythons)
    monkeypatch.setattr(dev, "backend_environment", lambda torch, fresh: Path("backend"))
    monkeypatch.setattr(dev, "bpy_environment", lambda bpy, python, fresh: f"blender-{bpy.name} of {python.path}")
    assert dev.main(["demo"]) == 0
    (command,) = commands
    assert command[: len(starts)] == starts
    assert str(tmp_path / "demo" / "make_demo.py") in command


def test_lanes_are_told_of_the_oldest_bpy(monkeypatch):
    monkeypatch.setattr(dev, "pythons", lambda: [PY313, PY311])
    monkeypatch.setattr(dev, "bpy_environment", lambda bpy, python, fresh: Path(f"made {bpy.name} {python.path}"))
    newest = lanes.Lane("blender-5.2", Path("5.2"), ())
    assert dev.oldest_bpy([newest], False) == Path("made 4.2 /python3.11")
    assert dev.oldest_bpy([newest, lanes.Lane("blender-4.2", Path("4.2"), ())], False) == Path("4.2")


def test_torch_tries_the_right_build_before_the_default_one():
    tools = [(tool, arguments[-1]) for tool, arguments in choices.torch_attempts("Linux", "cpu", "2.0.1")]
    assert tools == [("pip", "torch==2.0.1+cpu"), ("uv", "torch==2.0.1"), ("pip", "torch==2.0.1")]
    for system, backend in (("Windows", "cu130"), ("Windows", "cu126"), ("Linux", "cu126")):
        ways = choices.torch_attempts(system, backend, "2.0.1")
        assert ways[1] == ("uv", ["--torch-backend", backend, "torch==2.0.1"]) and len(ways) == 3


@pytest.mark.parametrize(("system", "backend"), [("Linux", "cu130"), ("Darwin", "cpu"), ("Windows", "cpu")])
def test_torch_default_build_is_right_elsewhere(system, backend):
    assert choices.torch_attempts(system, backend, "2.0.1") == [("pip", ["torch==2.0.1"])]


@pytest.mark.parametrize(
    ("said", "backend", "why"),
    [
        ("NVIDIA H200, 9.0, 580.65.06", "cu130", ""),
        ("NVIDIA GeForce RTX 5090, 12.0, 590.10", "cu130", ""),
        ("Tesla T4, 7.5, 550.54.15", "cu126", "driver 550 is too old for newer CUDA"),
        ("Tesla V100-SXM2-16GB, 7.0, 580.65", "cu126", "V100-SXM2-16GB is too old for newer CUDA"),
        ("GeForce GTX 970, 5.2, 535.1\nTesla T4, 7.5, 535.1", "cu126", "driver 535"),
        ("GeForce GTX 780, 3.5, 470.1", "cpu", "GTX 780 is too old"),
        ("Tesla T4, 7.5, 470.57.02", "cpu", "update it to use the Tesla T4"),
        ("NVIDIA GeForce RTX 5090, 12.0, 550.10", "cpu", "update it"),
        ("NVIDIA A, B, [N/A], 580.65", "cu130", ""),
        ("NVIDIA-SMI has failed because it couldn't communicate with the driver", "cpu", ""),
        ("", "cpu", ""),
    ],
)
def test_torch_follows_card_and_driver(said, backend, why):
    found = choices.resolve_torch("auto", said, "Linux")
    assert found[0] == backend and why in found[1] and bool(why) == bool(found[1])
    assert choices.resolve_torch("cpu", said, "Linux") == choices.resolve_torch("auto", said, "Darwin") == ("cpu", "")
    assert choices.resolve_torch("cuda", said, "Windows")[0] == ("cu130" if backend == "cpu" else backend)


@pytest.mark.parametrize(
    ("text", "version"),
    [("Blender 4.3.2\n\tbuild date: x", (4, 3)), ("noise\nBlender 5.0.1 LTS\n", (5, 0)), ("no such thing", None)],
)
def test_blender_version_from_its_own_words(text, version):
    assert choices.blender_version(text) == version


def test_pinned_reads_whole_names():
    text = "opencv-contrib-python==5.0\ntorch==2.13.0\n"
    assert choices.pinned(text, "torch") == "2.13.0"
    with pytest.raises(DevError):
        choices.pinned(text, "opencv")


# --- stamps

WANTED = {"inputs": "a", "python": "3.11", "flavour": "cpu"}


@pytest.mark.parametrize(
    ("stamp", "works", "action"),
    [
        (WANTED, True, "keep"),
        (WANTED, False, "create"),
        ({}, True, "update"),
        (WANTED | {"inputs": "b"}, True, "update"),
        (WANTED | {"python": "3.12"}, True, "create"),
        (WANTED | {"flavour": "cuda"}, True, "create"),
    ],
)
def test_what_a_stamp_asks_for(stamp, works, action):
    assert environments.what_to_do(WANTED, stamp, works) == action


def test_stamp_changes_with_constraints_python_and_inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "CONSTRAINTS", tmp_path)
    pins, extra = tmp_path / "x.txt", tmp_path / "pyproject.toml"
    pins.write_text("a==1\n")
    extra.write_text("one")
    first = environments.Environment("x", PY311, (extra,)).stamp()
    assert environments.Environment("x", PY311, (extra,)).stamp() == first
    assert environments.Environment("x", PY312, (extra,)).stamp() != first
    extra.write_text("two")
    assert environments.Environment("x", PY311, (extra,)).stamp()["inputs"] != first["inputs"]


@pytest.mark.parametrize("text", [None, "", "{not json"])
def test_unreadable_stamp_is_no_stamp(tmp_path, text):
    if text is not None:
        (tmp_path / environments.STAMP).write_text(text)
    assert environments.read_stamp(tmp_path) == {}


# --- lanes and processes


def test_arguments_after_two_dashes_go_to_pytest():
    assert dev.split_arguments(["test", "--lane", "backend", "--", "-k", "x"]) == (
        ["test", "--lane", "backend"],
        ["-k", "x"],
    )
    assert dev.split_arguments(["lint"]) == (["lint"], [])


def test_summary_ends_like_pytest():
    good = lanes.Lane("backend", Path("p"), (), code=0, seconds=2, counts={"passed": 7, "skipped": 1})
    bad = lanes.Lane("blender-5.0", Path("p"), (), code=139, seconds=3, counts={"passed": 2, "errors": 1})
    lines = lanes.summary([good, bad], ["blender-5.2, no Python 3.13 here"], 5.5)
    assert re.fullmatch(r"=+ 9 passed, 1 skipped, 1 error in 5\.50s =+", lines[-1])
    assert "ok" in lines[1] and "FAILED" in lines[2] and "blender-5.2" in lines[0]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("mac", "runs on Linux"),
        ("no xvfb", "apt-get install xvfb"),
        ("nothing", "setup --window makes one"),
        ("not root", "only root"),
        ("no mounts", "does not allow to mount"),
        ("own", ""),
        ("path", ""),
    ],
)
def test_the_window_lane_says_why_it_is_left_out(monkeypatch, tmp_path, case, words):
    on_path = ("/bin/blender", (4, 3)) if case in ("path", "no xvfb") else None
    answer = subprocess.CompletedProcess([], 1 if case == "no mounts" else 0)
    monkeypatch.setattr(window.sys, "platform", "darwin" if case == "mac" else "linux")
    monkeypatch.setattr(window, "blender_on_path", lambda: on_path)
    monkeypatch.setattr(window.shutil, "which", lambda name: None if case == "no xvfb" else f"/bin/{name}")
    monkeypatch.setattr(window, "OWN_DEBIAN", tmp_path)
    monkeypatch.setattr(window, "ROOT", tmp_path.parent)
    monkeypatch.setattr(window.os, "geteuid", lambda: 1000 if case == "not root" else 0, raising=False)
    monkeypatch.setattr(window, "ask", lambda command: answer)
    if case in ("not root", "no mounts", "own"):
        (tmp_path / "usr" / "bin").mkdir(parents=True)
        (tmp_path / "usr" / "bin" / "blender").touch()
    blender, reason = window.window_blender()
    assert words in reason and bool(blender) == (reason == "")
    if case == "own":
        started = window.start_command(blender, "/pictures", {"A": "1"})
        assert started[:2] == ["unshare", "--mount"] and started.index("A=1") < started.index("xvfb-run")
    if case == "path":
        assert window.start_command(blender, "/pictures", {})[0] == "env"


def test_a_window_lane_that_cannot_run_is_named(monkeypatch, capsys):
    monkeypatch.setattr(dev, "backend_environment", lambda torch, fresh: Path("backend"))
    monkeypatch.setattr(dev, "window_blender", lambda: ([], "no screen here"))
    monkeypatch.setattr(dev, "run_lanes", lambda *_: None)
    assert dev.main(["test", "--lane", "window"]) == 0
    assert "left out: window, no screen here" in capsys.readouterr().out


def test_the_extension_is_zipped_without_blender(monkeypatch, tmp_path, capsys):
    wheel = tmp_path / "im2hands-1-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    monkeypatch.setattr(extension, "BUILD", tmp_path)
    monkeypatch.setattr(extension, "build_wheel", lambda: wheel)
    monkeypatch.setattr(extension, "ENVIRONMENTS", tmp_path / "none")
    monkeypatch.setattr(extension, "blender_on_path", lambda: None)
    monkeypatch.setattr(extension, "say", lambda text: None)
    first = extension.package_extension().read_bytes()
    with zipfile.ZipFile(extension.package_extension()) as archive:
        names = set(archive.namelist())
    assert {"manual/blender.html", "manual/images/doubt.jpg"} <= names
    assert {"blender_manifest.toml", "__init__.py", f"backend_wheel/{wheel.name}", "LICENSE"} <= names
    assert not [name for name in names if name.endswith(".pyc")]
    assert extension.package_extension().read_bytes() == first, "the same files, the same bytes"


def test_counts_come_from_the_progress_file(tmp_path):
    progress = lanes.Progress(tmp_path / "p.txt", limit=60)
    progress.update()
    assert not progress.counts and not progress.is_stuck
    lines = "start\ta.py::one\npassed\ta.py::one\nend\ta.py::one\nerrors\tb.py\nstart\ta.py::two\nskip"
    (tmp_path / "p.txt").write_text(lines)
    progress.update()
    assert progress.counts == {"passed": 1, "errors": 1} and progress.running == "a.py::two"
    with (tmp_path / "p.txt").open("a") as file:
        file.write("ped\ta.py::two\nend\ta.py::two\n")
    progress.update()
    assert progress.counts == {"passed": 1, "errors": 1, "skipped": 1} and not progress.running


def run_one_lane(tmp_path, source, limit=60.0, side_by_side=1):
    (tmp_path / "test_it.py").write_text(source)
    lane = lanes.Lane("x", Path(sys.executable), (str(tmp_path),))
    lanes.run_lanes([lane, lanes.Lane("y", Path(sys.executable), (str(tmp_path),))], limit, ["-p", "no:cacheprovider"],
                    side_by_side)  # fmt: skip
    return lane


@pytest.mark.parametrize("side_by_side", [1, 2])
def test_lanes_count_every_outcome(tmp_path, capfd, side_by_side):
    source = """
import pytest
def test_good(): print("heard")
def test_bad(): assert False
def test_left_out(): pytest.skip("why")
@pytest.fixture
def broken(): raise ValueError
def test_broken(broken): pass
"""
    lane = run_one_lane(tmp_path, source, side_by_side=side_by_side)
    assert lane.code == 1 and lane.counts == {"passed": 1, "failed": 1, "skipped": 1, "errors": 1}
    assert capfd.readouterr().out.count("def test_bad") >= 1


def test_a_test_that_hangs_is_named_and_a_slow_lane_is_not_ended(tmp_path, capsys):
    """The lane lasts longer than the limit; only the test that does is ended."""
    quick = "".join(f"def test_{k}(): time.sleep(0.6)\n" for k in range(6))
    lane = run_one_lane(tmp_path, f"import time\n{quick}", limit=2.5)
    assert lane.code == 0 and lane.counts["passed"] == 6 and not lane.stuck
    lane = run_one_lane(tmp_path, f"import time\n{quick}def test_for_ever(): time.sleep(300)\n", limit=2.5)
    assert (
        lane.stuck.endswith("test_it.py::test_for_ever") and lane.counts["passed"] == 6 and lane.counts["errors"] == 1
    )
    assert "test_for_ever ran longer than 2.5 s" in capsys.readouterr().out
    assert "timeout" in lanes.summary([lane], [], 1.0)[0]


def test_the_page_of_options_is_current():
    assert options_page.OPTIONS_PAGE.read_text("utf-8") == options_page.options_page(), "run `python dev.py docs`"


def test_a_lane_without_tests_counts_as_failed(tmp_path):
    lane = lanes.Lane("x", Path(sys.executable), (str(tmp_path),))
    lanes.run_lanes([lane], 60, [], 1)
    assert lane.failed and lane.counts["errors"] == 1


def test_a_command_that_hangs_is_ended_with_its_children():
    start = time.monotonic()
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    assert processes.run([sys.executable, "-c", script], timeout=1) == 124
    assert time.monotonic() - start < 20


def test_children_see_no_python_variables_of_ours(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    assert "PYTHONPATH" not in processes.clean_environment({"A": "b"})


# --- the pinned environments


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "constraints" / f"{name}.txt").read_text("utf-8").split("\n")
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines if "==" in line}


def required_distributions() -> dict[str, str]:
    """Installed versions, by name, of everything that `im2hands[dev]` depends on."""
    found: dict[str, str] = {}
    waiting = [("im2hands", frozenset({"dev"}))]
    while waiting:
        name, extras = waiting.pop()
        for text in metadata.requires(name) or []:
            requirement = Requirement(text)
            wanted = not requirement.marker or any(
                requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}
            )
            child = canonicalize_name(requirement.name)
            if wanted and child not in found:
                found[child] = metadata.version(child)
                waiting.append((child, frozenset(requirement.extras)))
    return found


def test_constraints_pin_everything_the_backend_needs():
    known = pins("backend")
    build_of_torch = ("nvidia-", "cuda-", "triton")
    missing = [n for n in required_distributions() if n not in known and not n.startswith(build_of_torch)]
    assert not missing


def test_installed_versions_are_the_pinned_ones():
    known = pins("backend")
    other = {n: v for n, v in required_distributions().items() if n in known and v.split("+")[0] != known[n]}
    assert not other


def test_constraints_name_no_local_build():
    for path in (ROOT / "constraints").glob("*.txt"):
        assert "+" not in path.read_text("utf-8"), path.name


@pytest.mark.parametrize("bpy", BPYS, ids=lambda bpy: bpy.name)
def test_bpy_constraints_pin_the_version_we_say(bpy):
    assert pins(f"blender-{bpy.name}")["bpy"] == bpy.version


def test_exactly_one_distribution_brings_cv2():
    assert len(set(metadata.packages_distributions()["cv2"])) == 1


# --- tracked files, and the wheel


def tracked_texts() -> list[tuple[str, str]]:
    answer = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip("not a git checkout")
    texts = []
    for name in filter(None, answer.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (data := path.read_bytes()):
            texts.append((name, data.decode("utf-8")))
    return texts


def test_tracked_files_name_no_machine_and_no_registry():
    home = re.escape("/" + "root/") + "|" + re.escape("/" + "work/") + r"|/home/\w+/|[A-Z]:\\Users\\"
    registry = r"pypi\.org|pythonhosted\.org|download\.py" + r"torch\.org|registry\.npmjs"
    found = [
        (name, match[0])
        for name, text in tracked_texts()
        if name != "tests/test_dev.py" and (match := re.search(f"{home}|{registry}", text))
    ]
    assert not found


def test_dev_needs_only_the_standard_library():
    script = "import sys; sys.path.insert(0, '.'); import dev; print(sorted(n.split('.')[0] for n in sys.modules))"
    answer = subprocess.run([sys.executable, "-I", "-S", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    names = set(re.findall(r"'(\w+)'", answer.stdout))
    assert names - {"dev", "dev_tools"} <= set(sys.stdlib_module_names) | {"__main__"}


@pytest.fixture(scope="session")
def wheel_names(tmp_path_factory) -> set[str]:
    """Names of the files in the wheel, which is built from a copy of the sources to keep the checkout clean."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    subprocess.run(["git", "checkout-index", "-a", f"--prefix={source}{os.sep}"], cwd=ROOT, check=True)
    command = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "-q", "-w", str(target)]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = target.glob("im2hands-*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.parametrize(
    "name",
    [
        "im2hands/assets/hand_landmarker.task",
        "im2hands/assets/anny_hand_forearm_R.npz",
        "im2hands/assets/NOTICE.md",
        "im2hands/assets/LICENSE-APACHE-2.0.txt",
        "im2hands/assets/photos/LICENSE",
        "im2hands/assets/photos/hands_a.jpg",
        "im2hands/assets/photos/hands_b.jpg",
        "im2hands/assets/photos/hands_c.jpg",
        "im2hands/py.typed",
    ],
)
def test_wheel_carries_data_and_notices(wheel_names, name):
    assert name in wheel_names


def test_wheel_carries_the_licence_and_only_our_package(wheel_names):
    licences = {Path(name).name for name in wheel_names if ".dist-info/licenses/" in name}
    assert {"LICENSE", "NOTICE"} <= licences
    assert {name.split("/")[0].split("-")[0] for name in wheel_names} == {"im2hands"}


def test_wheel_carries_every_tracked_weight(wheel_names):
    folders = [f"backend/im2hands/weights/{folder}" for folder in ("bundled", "tables")]
    tracked = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True)
    names = tracked.stdout.decode().split()
    assert {name.removeprefix("backend/") for name in names} <= wheel_names


# --- the demo photos


def test_compose_script_makes_the_committed_photos(tmp_path):
    compose = pytest.importorskip("compose_photos")
    import cv2
    import numpy as np

    for path in compose.write_photos(tmp_path):
        made, committed = cv2.imread(str(path)), cv2.imread(str(compose.PHOTOS / path.name))
        assert made.shape == committed.shape
        assert np.abs(made.astype(int) - committed.astype(int)).mean() < 0.5, path.name


def test_photos_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "über"
    folder.mkdir()
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (folder / name).touch()
    assert dev.own_photos([]) == []
    assert [photo.name for photo in dev.own_photos([folder, folder / "b.PNG"])] == ["a.jpg", "b.PNG", "b.PNG"]
    with pytest.raises(DevError, match="no photo or folder"):
        dev.own_photos([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DevError, match="no photo in"):
        dev.own_photos([tmp_path / "empty"])

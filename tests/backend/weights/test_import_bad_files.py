"""Files that are no published checkpoint: each is refused with a reason, and no file is left behind."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import save, table, tensors, wrapped

from im2hands.app.cli.main import main
from im2hands.core.errors import InputError, SetupError
from im2hands.weights import importer
from im2hands.weights.checkpoint_file import MAX_ENTRIES
from im2hands.weights.importer import import_checkpoints


def refuse(path: Path | list[Path], match: str) -> InputError:
    """Check that the import fails with that message and leaves no file behind."""
    files = path if isinstance(path, list) else [path]
    folder = files[0].parent / "weights"
    with pytest.raises(InputError, match=match) as caught:
        import_checkpoints(files, folder)
    assert not folder.exists()
    assert caught.value.exit_code == 2
    return caught.value


class Code:
    """An object whose unpickling creates a folder."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("where", ["loss_val_best", "model", "whole"])
def test_code_is_not_run(where, modern, tmp_path):
    target = tmp_path / "ran"
    state = tensors("halo_baseline")
    content: Any = {
        "loss_val_best": wrapped(state, loss_val_best=Code(target)),
        "model": wrapped({**state, "decoder.x": Code(target)}),
        "whole": Code(target),
    }[where]
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=modern)
    error = refuse(tmp_path / "a.pt", "asks to run code .*mkdir.*Nothing was run")
    assert not target.exists() and "do not use" in error.hint


def test_a_plain_pickle_with_code(tmp_path):
    (tmp_path / "a.pt").write_bytes(pickle.dumps(Code(tmp_path / "ran"), protocol=2))
    refuse(tmp_path / "a.pt", "damaged|run code")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Code(tmp_path / "ran"), protocol=4))
    refuse(tmp_path / "b.pt", "not a PyTorch checkpoint")
    assert not (tmp_path / "ran").exists()


def test_numpy_objects_are_not_made(tmp_path):
    """Only plain numbers are read under NumPy's names; here the dtype is that of objects."""

    class Number:
        def __reduce__(self) -> Any:
            import numpy as np

            return np.float64(1).__reduce__()[0], (np.dtype("O"), b"12345678")

    torch.save(wrapped(tensors("halo_baseline"), loss_val_best=Number()), tmp_path / "a.pt")
    assert import_checkpoints([tmp_path / "a.pt"], tmp_path / "weights")[0].card["best_validation"] is None


def test_zip_bombs(tmp_path):
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("archive/data/0", "w") as entry:
        for _ in range(1400):
            entry.write(bytes(1 << 20))
    assert bomb.stat().st_size < 2_000_000
    refuse(bomb, "would unpack to 1.5 GB")
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    refuse(bomb, "compressed archive")
    with zipfile.ZipFile(bomb, "w") as archive:
        for number in range(MAX_ENTRIES + 1):
            archive.writestr(str(number), b"")
    refuse(bomb, "20001 parts")
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
        archive.filelist *= 9  # nine entries that share one place in the file
    refuse(bomb, "overlap|not one that PyTorch writes")


def test_other_kinds_of_file(tmp_path):
    path = tmp_path / "init_occ.pt"
    path.write_text("<!DOCTYPE html>\n<html>Too many downloads\n", encoding="utf-8")
    refuse(path, "text file that begins with '<!DOCTYPE html>'")
    path.write_bytes(b"")
    refuse(path, "it is empty")
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    refuse(path, "begins with ff d8 ff e0")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("init_occ.pt", b"x")
    refuse(path, "zip archive, but not one that PyTorch writes")
    refuse(tmp_path / "nowhere.pt", "There is no file")
    (tmp_path / "folder").mkdir()
    refuse(tmp_path / "folder", "is a folder")
    done = import_checkpoints([save("halo_baseline", tmp_path)], tmp_path / "there")
    refuse(done[0].path, "safetensors file")


@pytest.mark.parametrize("modern", [True, False])
def test_cut_off_and_damaged(modern, tmp_path):
    path = save("halo_baseline", tmp_path)
    if not modern:
        torch.save(wrapped(tensors("halo_baseline")), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    for length in (3, 100, len(data) // 2, len(data) - 30):
        path.write_bytes(data[:length])
        refuse(path, "cut off|damaged|not a PyTorch")
    if modern:
        place = data.index(b"decoder.lin3_1.weight")
        path.write_bytes(data[:place] + b"X" + data[place + 1 :])
        refuse(path, "damaged")


def test_another_architecture(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"conv1.weight": torch.zeros(3), "fc.bias": torch.zeros(3)}, path)
    error = refuse(path, r"2 tensors of a network that is not known here \(conv1.weight, fc.bias\)")
    assert "ref_occ.pt" in error.hint
    for content, words in (
        ([1, 2], "holds a list"),
        ({}, "holds no network"),
        ({"model": 3}, "holds no network"),
        ({"model": {"a": 3}}, "a is not a plain tensor but int"),
        ({1: torch.zeros(1)}, "holds no network"),
    ):
        torch.save(content, path)
        refuse(path, words)


def test_names_and_shapes_that_do_not_fit(tmp_path):
    state = tensors("initial_occupancy")
    names = list(state)
    for name in names[:5]:
        del state[name]
    state["more"] = torch.zeros(1)
    state[names[6]] = torch.zeros(4, 4).double()
    state["left_decoder.lin0_2.weight"] = torch.zeros(64, 64)
    state["right_decoder.lin0_2.weight"] = torch.zeros(64, 83).half()
    error = refuse(save("initial_occupancy", tmp_path, state), "resembles init_occ.pt")
    assert f"5 missing ({names[0]}, {names[1]}, {names[2]}, …)" in error.message
    assert "1 unexpected (more)" in error.message
    assert "3 of another shape or type" in error.message
    assert "left_decoder.lin0_2.weight is [64, 64], expected [64, 83]" in error.message
    assert "848 tensors" in error.hint


def test_a_tensor_that_claims_to_be_huge(tmp_path):
    state = tensors("halo_baseline")
    state["decoder.lin0_0.bias"] = torch.zeros(()).expand(1 << 45)
    refuse(save("halo_baseline", tmp_path, state), "1 of another shape")


def test_values_that_are_not_numbers(tmp_path):
    state = {name: torch.full(shape, float("nan")) for name, shape in table("halo_baseline").items()}
    refuse(save("halo_baseline", tmp_path, state), "not finite")


def test_one_bad_file_keeps_all_out(tmp_path):
    good, bad = save("halo_baseline", tmp_path), tmp_path / "bad.pt"
    bad.write_text("nothing", encoding="utf-8")
    refuse([good, bad], "bad.pt is not a PyTorch checkpoint")
    refuse([good, save("halo_baseline", tmp_path, name="again.pt")], "both hold halo_baseline")
    assert main(["weights", "import", str(bad), "--to", str(tmp_path / "weights")]) == 2


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    good = save("halo_baseline", tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        import_checkpoints([good], good)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importer, "to_bytes", full)
    with pytest.raises(SetupError, match="No space left"):
        import_checkpoints([good], tmp_path / "weights")
    assert not (tmp_path / "weights").exists()
    assert main(["weights", "import", str(good), "--to", str(tmp_path / "weights")]) == 3


def test_moving_into_place_fails_midway(tmp_path, monkeypatch):
    good = save("halo_baseline", tmp_path)
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.suffix == ".json":
            raise OSError("broken")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(SetupError, match="broken"):
        import_checkpoints([good], tmp_path / "weights")
    assert not (tmp_path / "weights").exists()

"""Import of the published checkpoints: recognition, conversion, listing, loading, HALO's third layer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import FILES, counted, save, table, tensors, wrapped
from safetensors.torch import load_file, save_file

from im2hands.app.cli.main import main
from im2hands.core.errors import InputError, WeightsError
from im2hands.core.files import sha256_of
from im2hands.networks.part_decoder import PartDecoder
from im2hands.weights.checkpoint_file import read_checkpoint
from im2hands.weights.folder import list_weights
from im2hands.weights.importer import LICENCE, import_checkpoints
from im2hands.weights.layouts import published_layouts, recognise
from im2hands.weights.published import initial_occupancy_start, load_network

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
LIMIT = 1 << 30


def halo(third: int | None) -> dict[str, torch.Tensor]:
    """HALO's tensors, all different; ``third`` is the number of columns of the third layer, None to leave it out."""
    state = {name: counted(tuple(shape)) / 1e4 for name, shape in table("halo_baseline").items()}
    for bone in range(16):
        name = f"decoder.lin{bone}_2.weight"
        if third is None:
            del state[name]
        else:
            state[name] = counted((64, third))
    return state


@pytest.mark.parametrize("file", ["init_occ", "ref_occ", "kpts_ref"])
def test_the_tables_are_those_of_the_parity_data(file):
    known = json.loads((GOLDEN / f"state_dict_{file}.json").read_text(encoding="utf-8"))
    layout = next(layout for layout in published_layouts() if layout.origin == f"{file}.pt")
    assert layout.table == {name: tuple(shape) for name, (shape, _) in known.items()}


@pytest.mark.parametrize("network", FILES)
def test_recognised_by_contents(network, tmp_path):
    path = save(network, tmp_path, name="download(1).bin")
    checkpoint = read_checkpoint(path, LIMIT)
    layout, state = recognise(checkpoint.state)
    assert (layout.name, layout.origin) == (network, FILES[network])
    assert not any(name.startswith(("module.", "decoder.", "encoder.")) for name in state)
    if network != "intaghand_encoder":
        assert (checkpoint.iteration, checkpoint.epoch, checkpoint.best) == (1234, 4, 0.125)


@pytest.mark.parametrize("network", ["initial_occupancy", "halo_baseline"])
def test_names_of_a_parallel_training(network):
    state = {f"module.{name}": value for name, value in tensors(network).items()}
    assert recognise(state)[0].name == network


def test_import_list_and_load(tmp_path):
    networks = ("initial_occupancy", "intaghand_encoder")
    files = [save(network, tmp_path) for network in networks]
    folder = tmp_path / "deep" / "weights"
    done = import_checkpoints(files, folder)
    assert [imported.card["name"] for imported in done] == list(networks)
    card = json.loads((folder / "initial_occupancy.json").read_text(encoding="utf-8"))
    assert card["licence"] == LICENCE and card["date"]
    assert card["origin"]["file"] == "init_occ.pt" and card["origin"]["sha256"] == sha256_of(files[0])
    assert (card["iteration"], card["epoch"], card["best_validation"]) == (1234, 4, 0.125)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{n}.{e}" for n in networks for e in ("json", "safetensors")
    )
    infos = list_weights(folder)
    assert [info.name for info in infos] == list(networks) and not any(info.problem for info in infos)
    for network, prefix in (("initial_occupancy", ""), ("intaghand_encoder", "module.encoder.")):
        loaded = load_network(network, folder)
        assert not any(module.training for module in loaded.modules())
        state = loaded.state_dict()
        assert len(state) == len(table(network))
        for name, value in tensors(network).items():
            assert torch.equal(state[name.removeprefix(prefix)], value), name


@pytest.mark.parametrize(("network", "kind"), [("keypoint_refinement", 882), ("refined_occupancy", 1596)])
def test_the_large_networks_load(network, kind, tmp_path):
    import_checkpoints([save(network, tmp_path)], tmp_path / "weights")
    loaded = load_network(network, tmp_path / "weights")
    state = loaded.state_dict()
    assert len(state) == kind
    assert all(torch.equal(state[name], value) for name, value in tensors(network).items())
    if network == "refined_occupancy":
        assert loaded.compatibility


@pytest.mark.parametrize("third", [64, 83])
def test_halo_reproduces_its_own_decoder(third, tmp_path):
    state = halo(third)
    import_checkpoints([save("halo_baseline", tmp_path, state)], tmp_path / "weights")
    stored = load_file(tmp_path / "weights" / "halo_baseline.safetensors")
    weight = stored["lin7_2.weight"]
    assert weight.shape == (64, 83) and torch.equal(weight[:, :third], state["decoder.lin7_2.weight"])
    assert third == 83 or not weight[:, 64:].any()
    ours = load_network("halo_baseline", tmp_path / "weights")
    assert isinstance(ours, PartDecoder) and ours.image_features == 19 and not ours.training
    if third == 64:
        plain = PartDecoder.from_published({name.removeprefix("decoder."): value for name, value in state.items()})
        transforms, lengths = torch.eye(4).expand(1, 16, 4, 4), torch.full((1, 16), 0.05)
        hand, local = torch.zeros(5, dtype=torch.int64), torch.linspace(-1, 1, 15).reshape(5, 3)
        with torch.no_grad():
            expected = plain.fold(transforms, lengths).part_logits(3, hand, local)
            found = ours.fold(transforms, lengths).part_logits(3, hand, local, torch.ones(5, 19))
        torch.testing.assert_close(found, expected)


def test_halo_without_third_layer_only_starts_a_training(tmp_path):
    import_checkpoints([save("halo_baseline", tmp_path, halo(None))], tmp_path / "weights")
    with pytest.raises(WeightsError, match="only start a training") as caught:
        load_network("halo_baseline", tmp_path / "weights")
    assert caught.value.hint
    start = initial_occupancy_start(tmp_path / "weights")
    assert len(start) == 2 * 180 and "left_decoder.lin0_2.weight" not in start


def test_the_start_of_initial_occupancy(tmp_path):
    assert initial_occupancy_start(tmp_path) == {}
    files = [save("halo_baseline", tmp_path), save("intaghand_encoder", tmp_path)]
    import_checkpoints(files, tmp_path / "weights")
    start = initial_occupancy_start(tmp_path / "weights")
    expected = table("initial_occupancy")
    assert len(start) == 2 * 196 + 372
    assert all(list(value.shape) == expected[name] for name, value in start.items())


def test_halo_with_only_some_third_layers(tmp_path):
    state = halo(64)
    del state["decoder.lin3_2.weight"]
    with pytest.raises(InputError, match=r"1 missing \(lin3_2.weight\)"):
        import_checkpoints([save("halo_baseline", tmp_path, state)], tmp_path / "weights")


@pytest.mark.parametrize("best", [np.float32(0.5), 0.5, torch.tensor(0.5), np.float64("inf"), None, "x"])
def test_best_value_of_any_kind(best, tmp_path):
    torch.save(wrapped(tensors("halo_baseline"), loss_val_best=best), tmp_path / "a.pt")
    known = isinstance(best, torch.Tensor | float | np.floating) and bool(np.isfinite(float(best)))
    assert read_checkpoint(tmp_path / "a.pt", LIMIT).best == (0.5 if known else None)


def test_both_names_of_numpy(tmp_path):
    path = tmp_path / "a.pt"
    names = [b"cnumpy._core.multiarray\nscalar", b"cnumpy.core.multiarray\nscalar"]
    torch.save(wrapped(tensors("halo_baseline")), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    here = next(name for name in names if name in data)
    for name in names:
        path.write_bytes(data.replace(here, name))
        assert read_checkpoint(path, LIMIT).best == 0.125


def test_existing_weights_stay_without_overwrite(tmp_path):
    folder = tmp_path / "weights"
    import_checkpoints([save("halo_baseline", tmp_path, halo(64))], folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = save("halo_baseline", tmp_path, halo(83))
    with pytest.raises(InputError, match="there already") as caught:
        import_checkpoints([other], folder)
    assert "--overwrite" in caught.value.hint
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    import_checkpoints([other], folder, overwrite=True)
    assert {path.name for path in folder.iterdir()} == set(before)
    assert not list_weights(folder)[0].problem and not list_weights(folder)[0].card["note"]


def test_weights_of_another_network(tmp_path):
    import_checkpoints([save("halo_baseline", tmp_path)], tmp_path)
    with pytest.raises(WeightsError, match="missing") as caught:
        load_network("initial_occupancy", tmp_path)
    assert "weights import init_occ.pt" in caught.value.hint
    for ending in ("safetensors", "json"):
        (tmp_path / f"initial_occupancy.{ending}").write_bytes((tmp_path / f"halo_baseline.{ending}").read_bytes())
    with pytest.raises(WeightsError, match="of halo_baseline, not of initial_occupancy"):
        load_network("initial_occupancy", tmp_path)
    with pytest.raises(WeightsError, match="no published network"):
        load_network("part_occupancy", tmp_path)


def test_stored_weights_that_are_damaged(tmp_path):
    import_checkpoints([save("halo_baseline", tmp_path)], tmp_path)
    path = tmp_path / "halo_baseline.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"\x7f")
    with pytest.raises(WeightsError, match="sha256"):
        load_network("halo_baseline", tmp_path)
    save_file({"lin0_0.weight": torch.zeros(1)}, path, {"format": "im2hands-published-1", "network": "halo_baseline"})
    card = json.loads((tmp_path / "halo_baseline.json").read_text(encoding="utf-8"))
    (tmp_path / "halo_baseline.json").write_text(json.dumps({**card, "sha256": sha256_of(path)}), encoding="utf-8")
    with pytest.raises(WeightsError, match="195 missing"):
        load_network("halo_baseline", tmp_path)


def test_command_line(tmp_path, capsys):
    files = [str(save("halo_baseline", tmp_path, name="one")), str(save("intaghand_encoder", tmp_path, name="two"))]
    folder = tmp_path / "weights"
    assert main(["weights", "import", *files, "--to", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "halo_baseline.safetensors" in said and "iteration 1234" in said and "do not redistribute" in said
    assert main(["weights", "list", "--folder", str(folder)]) == 0
    assert "PROBLEM" not in capsys.readouterr().out
    assert main(["weights", "import", *files, "--to", str(folder)]) == 2
    assert "there already" in capsys.readouterr().err
    assert main(["weights", "import", *files, "--to", str(folder), "--overwrite", "--json"]) == 0
    assert [card["name"] for card in json.loads(capsys.readouterr().out)] == ["halo_baseline", "intaghand_encoder"]
    (folder / "halo_baseline.json").unlink()
    assert main(["weights", "list", "--folder", str(folder)]) == 3
    assert "card halo_baseline.json is missing" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main(["weights", "list", "--folder", str(tmp_path / "empty")]) == 3
    assert main(["weights", "import", "--to", str(folder)]) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_a_folder_whose_name_is_not_utf8(tmp_path):
    folder = tmp_path / os.fsdecode(b"weights_\xff")
    (imported,) = import_checkpoints([save("halo_baseline", tmp_path)], folder)
    assert imported.path.parent == folder
    assert load_network("halo_baseline", folder) is not None

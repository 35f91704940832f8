"""``--executor ray`` without Ray, and without a cluster that answers."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from im2hands.app.cli.main import main
from im2hands.core.errors import SetupError
from im2hands.core.farm import on_cluster


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, keypoint_job: dict[str, Any], capsys: Any) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "ray" or name.startswith("ray."):
            raise ModuleNotFoundError("No module named 'ray'", name="ray")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SetupError, match="Ray is not installed") as caught:
        list(on_cluster(abs, [1], ""))
    assert "im2hands[farm]" in caught.value.hint
    words = ["reconstruct", *keypoint_job["inputs"], "-o", keypoint_job["output"], "--executor", "ray"]
    words += ["--keypoints", keypoint_job["options"]["keypoints"], "--device", "cpu", "--no-clean"]
    assert main(words) == 3
    assert "im2hands[farm]" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1:9", "[::1]:9", "nowhere.invalid:6379", "127.0.0.1:99999"])
def test_a_cluster_that_does_not_answer(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(SetupError, match="does not answer"):
        list(on_cluster(abs, [1], ""))


def test_a_cluster_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def refuse(**options: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nMore words.")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(SetupError, match=r"cannot be used: Could not find any running Ray instance\.\.") as caught:
        list(on_cluster(abs, [1], ""))
    assert "RAY_ADDRESS" in caught.value.hint

"""Options of a job, and errors that name the option."""

from __future__ import annotations

import pytest

from im2hands.core.errors import InputError
from im2hands.job.reconstruct import ReconstructOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": "2"}, "step is '2', it must be a whole number"),
        ({"step": 1.5}, "step is 1.5"),
        ({"voxel_mm": True}, "voxel_mm is True"),
        ({"mirrored": 1}, "mirrored is 1, it must be true or false"),
        ({"hands": "three"}, 'no hands "three"'),
        ({"hands": 2}, "hands is 2, it must be a text"),
        ({"frames": 12}, "frames is 12, it must be a text"),
        ({"voxel_mm": 0.0}, "voxel_mm is 0, it must be 0.4 to 10"),
        ({"palm_mm": 1e9}, "palm_mm is 1e\\+09"),
        ({"stage": "final"}, 'no stage "final"'),
        ({"fov": float("nan")}, "fov is nan"),
        ("fast", "options must be an object"),
    ],
)
def test_options_of_the_wrong_kind(options: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ReconstructOptions.from_request({"inputs": ["a"], "output": "b", "options": options})


def test_options_of_a_request() -> None:
    request = {"inputs": "a", "output": "b", "options": {"step": 2.0, "voxel_mm": 2, "frames": None, "later": 1}}
    options = ReconstructOptions.from_request(request)
    assert (options.inputs, options.step, options.voxel_mm, options.frames) == (("a",), 2, 2.0, None)
    assert options.resume
    for broken in ({"inputs": [], "output": "b"}, {"inputs": [1], "output": "b"}, {"inputs": ["a"]}):
        with pytest.raises(InputError):
            ReconstructOptions.from_request(broken)

"""The data of others that this program reads: what each gives, which command reads it, and its terms."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Adapter:
    """A form of data that the program reads.

    Parameters
    ----------
    name : str
        Short name.
    title : str
        What it is.
    gives : str
        What can be read.
    command : str
        The command that reads it.
    needs : str
        Files that the user must have.
    terms : str
        Terms of the data, for a person.
    """

    name: str
    title: str
    gives: str
    command: str
    needs: str
    terms: str


ADAPTERS: tuple[Adapter, ...] = (
    Adapter(
        "scenes", "sets of synthetic scenes", "pictures, keypoints, labelled points of both hands",
        "im2hands train … --data SET", "a folder of im2hands synthesize", "your own",
    ),
    Adapter(
        "interhand", "InterHand2.6M as downloaded", "photos, cameras, joints, MANO fits",
        "im2hands data check|prepare interhand --root DIR", "images, annotations, MANO fits; MANO_LEFT and MANO_RIGHT",
        "CC BY-NC 4.0; MANO: non-commercial research, registration, no redistribution",
    ),
    Adapter(
        "prepared", "prepared crops (IntagHand's pictures with HALO's points)",
        "crops, cameras, keypoints, occupancy points of both hands",
        "im2hands data check prepared --data DIR; im2hands train … --data DIR", "a split of im2hands data prepare",
        "those of the set that it was prepared from",
    ),
    Adapter(
        "rgb2hands", "RGB2Hands benchmark", "photos, camera, 14 skin points of each hand in the picture",
        "im2hands data check rgb2hands --root DIR; im2hands evaluate marked-photos --data rgb2hands --root DIR",
        "RGB2HANDS_Benchmark", "not stated in the files; ask its authors",
    ),
    Adapter(
        "egohands", "EgoHands", "photos, outlines of the hands of two people",
        "im2hands data check egohands --root DIR; im2hands evaluate marked-photos --data egohands --root DIR",
        "egohands_data", "no licence text; its authors ask to be cited",
    ),
)  # fmt: skip
"""All adapters, in the order of the list."""

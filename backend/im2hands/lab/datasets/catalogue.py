"""The data of others that this program reads: what each gives, which command reads it, and its terms."""

from __future__ import annotations

from dataclasses import dataclass

from im2hands.keypoints.conversion.sources import SOURCES


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


DATASETS: tuple[Adapter, ...] = (
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
    Adapter(
        "pred-joints", "keypoints beside a prepared split (pred_joints of IntagHand, DIGIT and others)",
        "21 keypoints of a hand, world frame, metres; another order is refused and named",
        "im2hands evaluate keypoints --truth SPLIT --annotations SPLIT/anno --method NAME=DIR; "
        "im2hands evaluate shapes --data SPLIT --reconstruct NAME=METHOD --joints pred",
        "0000012_left.ply for each hand of each crop", "those of the method that made them",
    ),
    Adapter(
        "meshes", "meshes of other methods (IntagHand, Two-Hand-Shape-Pose, HALO, Im2Hands)",
        "off, obj or ply of a hand; 778 open vertices are closed at the wrist",
        "im2hands evaluate shapes --data SPLIT --method NAME=DIR,frame=F,unit=U",
        "0000012_left.obj or 0_12345_left.off for each hand; frames and units: docs/reproducing-the-paper.md",
        "those of the method that made them",
    ),
    Adapter(
        "checkpoints", "the authors' checkpoints of Im2Hands and HALO", "weights of networks; nothing in them is run",
        "im2hands weights import FILE…", "init_occ.pt, ref_occ.pt, kpts_ref.pt, halo_baseline.pt or model_best.pt",
        "none stated: for your own use",
    ),
)  # fmt: skip
"""Data sets, and results and weights of other methods for their tables."""

ADAPTERS: tuple[Adapter, ...] = DATASETS + tuple(
    Adapter(
        f"keypoints:{name}", f"keypoints of {source.title}",
        f"a keypoint file for im2hands reconstruct --keypoints; it loses: {source.loses}",
        f"im2hands keypoints convert FILE --from {name} -o hands.json", source.files, source.terms,
    )
    for name, source in SOURCES.items()
)  # fmt: skip
"""All adapters, in the order of the list: those of keypoints come from the converters' own table."""

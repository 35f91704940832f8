"""The two configurations of the hand networks: published, and compact (quick to train and to run)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .anchor_encoder import AnchorSizes
from .compact_encoder import CHANNELS, SIDE, CompactEncoder
from .image_encoder import PictureEncoder
from .initial_occupancy import InitialOccupancy
from .keypoint_refinement import KeypointRefinement, KeypointSizes
from .refined_occupancy import RefinedOccupancy, RefinedSizes
from .side_networks import InitialSizes

ConfigurationName = Literal["published", "compact"]


@dataclass(frozen=True)
class Configuration:
    """Sizes of all hand networks.

    Parameters
    ----------
    name : str
        "published" or "compact".
    initial : InitialSizes
        Sizes of the initial occupancy network.
    refined : RefinedSizes
        Sizes of the refinement network.
    keypoints : KeypointSizes
        Sizes of the keypoint refinement network.
    side : int
        Pixels along each side of the picture inside the compact encoder.
    channels : int
        Channels of the compact encoder's decoders.
    """

    name: ConfigurationName = "published"
    initial: InitialSizes = field(default_factory=InitialSizes)
    refined: RefinedSizes = field(default_factory=RefinedSizes)
    keypoints: KeypointSizes = field(default_factory=KeypointSizes)
    side: int = 256
    channels: int = 128

    @property
    def shared_encoder(self) -> bool:
        """Whether the networks share one image encoder; the published networks have one each."""
        return self.name == "compact"

    def make_encoder(self) -> PictureEncoder | None:
        """Make a new shared encoder; None if every network has its own."""
        return CompactEncoder(self.side, self.channels) if self.shared_encoder else None

    def make_initial(self, encoder: PictureEncoder | None) -> InitialOccupancy:
        """Make a new initial occupancy network.

        Parameters
        ----------
        encoder : PictureEncoder or None
            The shared encoder, from ``make_encoder``.
        """
        return InitialOccupancy(self.initial, encoder)

    def make_aligned(self, encoder: PictureEncoder | None) -> InitialOccupancy:
        """Make a new network of the HALO* baseline, which reads the image at each query's projection.

        Parameters
        ----------
        encoder : PictureEncoder or None
            The shared encoder, from ``make_encoder``.
        """
        return InitialOccupancy(replace(self.initial, projected=True, aligned=True), encoder)

    def make_refined(self, encoder: PictureEncoder | None, *, compatibility: bool = False) -> RefinedOccupancy:
        """Make a new refinement network.

        Parameters
        ----------
        encoder : PictureEncoder or None
            The shared encoder, from ``make_encoder``.
        compatibility : bool
            See ``refined_occupancy.RefinedOccupancy``.
        """
        return RefinedOccupancy(self.refined, encoder, compatibility=compatibility)

    def make_keypoints(self, encoder: PictureEncoder | None) -> KeypointRefinement:
        """Make a new keypoint refinement network.

        Parameters
        ----------
        encoder : PictureEncoder or None
            The shared encoder, from ``make_encoder``.
        """
        return KeypointRefinement(self.keypoints, encoder)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Configuration:
        """Restore a configuration from the result of ``dataclasses.asdict``, which may have passed through JSON.

        Parameters
        ----------
        data : dict
            Fields of the configuration.

        Raises
        ------
        KeyError
            A field is missing.
        TypeError
            A field is not known.
        """
        refined = dict(data["refined"])
        anchors = AnchorSizes(**{**refined["anchors"], "counts": tuple(refined["anchors"]["counts"])})
        refined.update(initial=InitialSizes(**refined["initial"]), anchors=anchors)
        keypoints = KeypointSizes(**{**data["keypoints"], "tokens": tuple(data["keypoints"]["tokens"])})
        sizes = {"initial": InitialSizes(**data["initial"]), "refined": RefinedSizes(**refined), "keypoints": keypoints}
        return cls(**{**data, **sizes})


PUBLISHED = Configuration()


def compact(side: int = SIDE, channels: int = CHANNELS) -> Configuration:
    """Return the compact configuration, about a twentieth of the published one in size.

    Parameters
    ----------
    side : int
        Pixels along each side of the picture inside the encoder, a multiple of 32.
    channels : int
        Channels of the encoder's decoders.

    Raises
    ------
    ValueError
        ``side`` is no positive multiple of 32.
    """
    if side < 32 or side % 32:
        raise ValueError(f"the side must be a multiple of 32, not {side}")
    initial = InitialSizes(token_grid=side // 32, projected=True, reach=True, shape=True)
    refined = RefinedSizes(
        initial, AnchorSizes(reduced=32, width=64, counts=(128, 48), neighbours=12, final_layers=2),
        attention=48, hidden=32, blocks=3, neighbours=6, upsampled=False, residual=True, unit=0.02, anchor_count=256,
        threshold=0.5,
    )  # fmt: skip
    keypoints = KeypointSizes(
        tokens=(48, 48, 64, 64), image=64, grid=side // 32, map_size=side // 4, unit=100.0, residual=True, spare=False
    )
    return Configuration("compact", initial, refined, keypoints, side, channels)


COMPACT = compact()


def configuration(name: str) -> Configuration:
    """Return the configuration of that name.

    Parameters
    ----------
    name : str
        "published" or "compact".

    Raises
    ------
    KeyError
        There is no configuration of that name.
    """
    return {"published": PUBLISHED, "compact": COMPACT}[name]

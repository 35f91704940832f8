"""The two configurations of the hand networks: as published, and compact ones that train and run in little time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .anchor_encoder import AnchorSizes
from .compact_encoder import CHANNELS, SIDE, CompactEncoder
from .image_encoder import PictureEncoder
from .initial_occupancy import InitialOccupancy, InitialSizes
from .keypoint_refinement import KeypointRefinement, KeypointSizes
from .refined_occupancy import RefinedOccupancy, RefinedSizes

ConfigurationName = Literal["published", "compact"]


@dataclass(frozen=True)
class Configuration:
    """Sizes of all networks.

    Args:
        name: of the configuration. initial, refined, keypoints: of the three networks. side, channels: of the compact
            encoder, which the three share; the published networks have an encoder each.
    """

    name: ConfigurationName = "published"
    initial: InitialSizes = field(default_factory=InitialSizes)
    refined: RefinedSizes = field(default_factory=RefinedSizes)
    keypoints: KeypointSizes = field(default_factory=KeypointSizes)
    side: int = 256
    channels: int = 128

    @property
    def shared_encoder(self) -> bool:
        """Whether the networks share one image encoder."""
        return self.name == "compact"

    def make_encoder(self) -> PictureEncoder | None:
        """A new shared encoder; None where every network has its own."""
        return CompactEncoder(self.side, self.channels) if self.shared_encoder else None

    def make_initial(self, encoder: PictureEncoder | None) -> InitialOccupancy:
        """A new initial occupancy network. encoder: the shared one, see :meth:`make_encoder`."""
        return InitialOccupancy(self.initial, encoder)

    def make_aligned(self, encoder: PictureEncoder | None) -> InitialOccupancy:
        """A new network of the HALO* baseline: the image is read where the query is seen."""
        return InitialOccupancy(replace(self.initial, projected=True, aligned=True), encoder)

    def make_refined(self, encoder: PictureEncoder | None, *, compatibility: bool = False) -> RefinedOccupancy:
        """A new refinement network; see :class:`.refined_occupancy.RefinedOccupancy`."""
        return RefinedOccupancy(self.refined, encoder, compatibility=compatibility)

    def make_keypoints(self, encoder: PictureEncoder | None) -> KeypointRefinement:
        """A new keypoint refinement network."""
        return KeypointRefinement(self.keypoints, encoder)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Configuration:
        """From :func:`dataclasses.asdict`, also by way of JSON.

        Raises:
            KeyError, TypeError: a field is missing or not known.
        """
        refined = dict(data["refined"])
        anchors = AnchorSizes(**{**refined["anchors"], "counts": tuple(refined["anchors"]["counts"])})
        refined.update(initial=InitialSizes(**refined["initial"]), anchors=anchors)
        keypoints = KeypointSizes(**{**data["keypoints"], "tokens": tuple(data["keypoints"]["tokens"])})
        sizes = {"initial": InitialSizes(**data["initial"]), "refined": RefinedSizes(**refined), "keypoints": keypoints}
        return cls(**{**data, **sizes})


PUBLISHED = Configuration()


def compact(side: int = SIDE, channels: int = CHANNELS) -> Configuration:
    """The compact configuration, about a twentieth of the published one in size.

    Args:
        side: pixels a side of the picture inside the encoder, a multiple of 32. channels: of its decoders.

    Raises:
        ValueError: another side.
    """
    if side < 32 or side % 32:
        raise ValueError(f"the side must be a multiple of 32, not {side}")
    initial = InitialSizes(token_grid=side // 32, projected=True, reach=True)
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
    """The configuration of that name.

    Raises:
        KeyError: there is none.
    """
    return {"published": PUBLISHED, "compact": COMPACT}[name]

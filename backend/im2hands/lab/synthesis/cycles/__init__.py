"""Synthetic pictures of hands by Blender's Cycles: the rasteriser's scenes, with light that is followed on its way."""

from .renderer import CyclesRenderer

__all__ = ["CyclesRenderer"]

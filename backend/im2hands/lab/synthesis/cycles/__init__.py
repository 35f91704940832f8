"""Synthetic pictures of hands by Blender's path tracer Cycles, from the same scenes and looks as the rasteriser's."""

from .renderer import CyclesRenderer

__all__ = ["CyclesRenderer"]

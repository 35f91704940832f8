"""Synthetic pictures of hands by an OpenGL rasteriser: skin, light, surroundings and camera."""

from .assets import Assets
from .look import Look
from .random_look import random_look
from .renderer import Rendered, Renderer

__all__ = ["Assets", "Look", "Rendered", "Renderer", "random_look"]

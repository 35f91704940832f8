"""Kinds of scene sets and renderers, for the command line. Imports nothing heavy."""

from typing import Literal

Kind = Literal["crop", "whole", "clip"]
KINDS: tuple[Kind, ...] = ("crop", "whole", "clip")
RENDERERS = ("raster", "cycles", "none")

"""What sets of scenes can be made of, for the command line; nothing heavy is imported here."""

from typing import Literal

Kind = Literal["crop", "whole", "clip"]
KINDS: tuple[Kind, ...] = ("crop", "whole", "clip")
RENDERERS = ("raster", "cycles", "none")

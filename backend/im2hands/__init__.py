"""Im2Hands for Blender: reconstructs two interacting hands as meshes, from pictures and 3D keypoints."""

__version__ = "0.1.0"

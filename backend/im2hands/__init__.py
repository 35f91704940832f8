"""Im2Hands: two interacting hands as implicit occupancy, from an image and 3D keypoints to meshes."""

__version__ = "0.1.0"

"""Keypoints of other systems: their orders, units, frames and roots, and conversion to this program's keypoint file."""

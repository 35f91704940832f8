"""A picture to the keypoints of both hands in metres: proposing, reading, choosing, placing."""

from im2hands.core.options import OPTIONS

PROVIDERS = OPTIONS["keypoints"].values
"""The sources of keypoints by name; everything else that ``--keypoints`` takes is a file."""

"""A picture to the keypoints of both hands in metres: proposing, reading, choosing, placing."""

PROVIDERS = ("auto", "mediapipe", "network")
"""The sources of keypoints by name; everything else that ``--keypoints`` takes is a file."""

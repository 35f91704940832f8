"""From a picture to the keypoints of both hands in metres.

The work has four stages, one package each: ``proposing`` names the places where a hand may be, ``reading`` reads
keypoints there, ``choosing`` selects one person's left and right hand, and ``placing`` puts them into the camera frame.
"""

from im2hands.core.options import OPTIONS

PROVIDERS = OPTIONS["keypoints"].values
"""Names of the keypoint sources. ``--keypoints`` takes any other value as the path of a keypoint file."""

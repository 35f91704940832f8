"""One reconstruction: keypoint phase, surface phase, clean phase."""

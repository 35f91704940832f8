"""The reconstruction job: keypoint phase, surface phase, clean phase."""

"""The table of methods and keypoint sources on a held-out world of synthetic hands."""

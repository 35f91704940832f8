"""Keypoints, and a picture where there is one, to one closed mesh per hand."""

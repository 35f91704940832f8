"""Surface reconstruction: from keypoints, and the picture if there is one, to one closed mesh per hand."""

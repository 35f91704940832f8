"""The table of methods and keypoint sources, measured on held-out synthetic scenes: ``im2hands evaluate table``."""

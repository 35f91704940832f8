"""Readers: the keypoints of one hand in one crop."""

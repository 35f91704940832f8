"""Readers: networks that estimate the keypoints of one hand in one crop."""

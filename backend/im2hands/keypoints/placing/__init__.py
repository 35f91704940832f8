"""Keypoints in pixels to keypoints in metres, camera frame."""

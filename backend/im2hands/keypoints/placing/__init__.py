"""Places hands in the camera frame: keypoints in pixels to keypoints in metres."""

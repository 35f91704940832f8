"""Where keypoints come from: MediaPipe, the crop search, a file; lifted to metric camera space."""

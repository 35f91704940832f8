"""Pictures and clips as frames with index, time stamp and camera."""

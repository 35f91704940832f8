"""Many frames at once through the networks, for accelerators."""

"""Take -> Blender data, one kind per file."""

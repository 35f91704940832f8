"""The take on disk: the format that Blender and other tools read."""

"""Converts takes to Blender data, one kind of data per file."""

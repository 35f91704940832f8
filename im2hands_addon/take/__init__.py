"""Readers of takes (numpy and the standard library only, no bpy)."""

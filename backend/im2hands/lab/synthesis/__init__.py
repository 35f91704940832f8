"""Synthetic scenes of one or two hands: shapes, poses, cameras, pictures and labels."""

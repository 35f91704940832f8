"""Batched surface reconstruction: many frames at once through the networks, for accelerators."""

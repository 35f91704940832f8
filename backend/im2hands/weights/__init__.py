"""Bundled weights, their cards, and how they are found and checked."""

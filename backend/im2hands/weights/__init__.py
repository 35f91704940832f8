"""Bundled weights, one loader a network, and import of the published checkpoints."""

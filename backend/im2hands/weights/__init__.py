"""Bundled weights, with one loader for each network, and import of the published checkpoints."""

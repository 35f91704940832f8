"""The bundled weights and their loaders, and import of the published checkpoints."""

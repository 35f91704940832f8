"""Geometry of hands without networks: bones, the hand model, meshes and distances."""

"""Training data in memory and on disk."""

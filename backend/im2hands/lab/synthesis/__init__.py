"""Synthetic hands: the openly licensed hand model, its shapes and poses."""

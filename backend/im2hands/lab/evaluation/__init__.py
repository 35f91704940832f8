"""Measures and the commands that print them."""

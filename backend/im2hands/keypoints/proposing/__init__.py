"""Proposers: where in a picture a hand may be."""

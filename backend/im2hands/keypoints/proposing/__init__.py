"""Proposers: they name the places of a picture where a hand may be."""

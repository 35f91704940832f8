"""Training data: labelled points around single hands, and sets of two-hand scenes on disk."""

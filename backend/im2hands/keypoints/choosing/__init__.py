"""Selects the left and the right hand of one person among all hypotheses."""

"""Starting placements of hands: one function for each interaction mode, by groups."""

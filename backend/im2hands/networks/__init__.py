"""The networks, one block a file: no files read, no device chosen, no global state."""

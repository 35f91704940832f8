"""The networks, one network or building block a file. They read no files, choose no device and keep no global state."""

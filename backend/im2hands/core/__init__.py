"""Basic types and tools of all other packages: errors, hands, cameras, options, devices, processes, files."""

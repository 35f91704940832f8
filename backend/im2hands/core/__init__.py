"""Words that every room speaks: errors, hands, cameras, devices, processes, files."""

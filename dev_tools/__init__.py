"""What `dev.py` is made of (standard library only): choices, processes, the machine, environments, packaging, lanes."""

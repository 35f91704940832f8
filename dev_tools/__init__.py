"""The modules behind `dev.py` (standard library only): choices, processes, machine, environments, extension, lanes."""

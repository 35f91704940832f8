"""Export of takes to files for other programs."""

"""The template hand of fixed topology: its rig, its shape for one take, and its fit to implicit surfaces."""

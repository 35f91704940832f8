"""The fixed topology: a template hand with a rig, its shape for one take, and its fit to implicit surfaces."""

"""A whole take as animation: template, rig, motion."""

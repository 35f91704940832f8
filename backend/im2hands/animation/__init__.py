"""Animation of a whole take: a template hand with a rig, and its motion."""

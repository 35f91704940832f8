"""The backend as another process: its installation, its start and its messages (standard library only, no bpy)."""

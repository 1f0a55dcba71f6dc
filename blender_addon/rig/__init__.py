"""The face rig in Blender: building it, reading it, its light and its units."""

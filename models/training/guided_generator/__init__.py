"""Teaching a generator that renderings of the rig steer."""

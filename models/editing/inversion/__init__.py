"""A photograph becomes a portrait: its face is found, the rig fitted, its code projected, and the generator tuned a little."""

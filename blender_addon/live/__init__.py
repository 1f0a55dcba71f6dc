"""The live view: a portrait that follows every edit of the rig."""

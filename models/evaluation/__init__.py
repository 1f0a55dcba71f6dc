"""How well a generator draws and how well a rig follows: figures, plots, sheets."""

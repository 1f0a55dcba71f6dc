"""Training: data, losses, loops, checkpoints and reports. Nothing here speaks HTTP."""

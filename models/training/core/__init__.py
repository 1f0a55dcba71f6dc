"""What every training shares: processes, random numbers, checkpoints."""

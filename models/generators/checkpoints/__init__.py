"""Generator files: NVIDIA's, rosinality's and ours, read as data."""

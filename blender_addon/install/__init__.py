"""Making the backend's Python environment. Standard library only."""

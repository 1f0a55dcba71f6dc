"""What build.py is made of. Standard library only."""

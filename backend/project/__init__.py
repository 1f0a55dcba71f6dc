"""What build.py is made of: environments, package, demo, tests. Standard library only."""

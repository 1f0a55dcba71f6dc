"""Figures of a generator beside those of the pictures that it was taught with."""

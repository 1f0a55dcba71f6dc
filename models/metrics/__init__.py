"""Figures of merit and the small plots that show them."""

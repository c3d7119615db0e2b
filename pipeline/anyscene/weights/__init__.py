"""Weights that others published: which there are, reading them without running anything, fetching them."""

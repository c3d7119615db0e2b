"""Sparse convolutions behind one interface."""

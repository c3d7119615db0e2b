"""Language-aligned features for every point of a posed RGB-D scan, without annotation."""

__version__ = "0.1.0"

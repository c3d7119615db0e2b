"""The demo's two 2D models."""

"""Matterport3D as it is released."""

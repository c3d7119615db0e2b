"""Matterport3D as it is published."""

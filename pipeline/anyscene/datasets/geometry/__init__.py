"""Meshes and clouds as files of other tools hold them."""

"""The 2D models of which there are small ones of random weights."""

NAMES = ("dense", "mask", "mask2former", "oneformer", "grounded", "sam3")

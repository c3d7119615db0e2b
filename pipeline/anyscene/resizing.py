"""The ways in which images are resized, by name."""

from __future__ import annotations

from typing import Literal

# How an image is resized. antialiased: Pillow's bilinear filter over all pixels that a new one covers, and
# depth at the pixel in which the centre of the new one lies. nearest: as OpenCV's INTER_NEAREST, colour and
# depth at the pixel in which the upper left corner of the new one lies. bilinear: as OpenCV's INTER_LINEAR,
# between the four pixels around the centre, and depth as for antialiased.
Resize = Literal["antialiased", "nearest", "bilinear"]

"""Captures of phones and of structure from motion -> the plain files that the reader `rgbd` takes."""

from pipeline.captures.given import Given, direction
from pipeline.captures.placing import Capture
from pipeline.captures.reading import READERS, read
from pipeline.captures.scan import as_scan, refuse
from pipeline.captures.shot import Shot
from pipeline.captures.writing import Summary, write

__all__ = [
    "READERS", "Capture", "Given", "Shot", "Summary", "as_scan", "direction", "read", "refuse", "write",
]  # fmt: skip

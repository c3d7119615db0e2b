"""Captures of phones and of structure from motion -> the plain files that the reader `rgbd` takes."""

from pipeline.captures import nerfstudio
from pipeline.captures.shot import Shot
from pipeline.captures.writing import Summary, write

READERS = {"nerfstudio": nerfstudio.read}

__all__ = ["READERS", "Shot", "Summary", "write"]

"""Weights that would do something if they were loaded carelessly."""

from pathlib import Path


class Code:
    """Runs a command when it is unpickled by a careless reader."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)

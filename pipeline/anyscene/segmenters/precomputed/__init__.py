"""2D models that ran elsewhere: their answers, read from files."""

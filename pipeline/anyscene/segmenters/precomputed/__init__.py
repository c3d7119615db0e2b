"""2D models that ran elsewhere, whose answers are read from files."""

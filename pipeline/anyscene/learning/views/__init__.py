"""What a training sees of a scene: its cloud, and augmented views of it."""

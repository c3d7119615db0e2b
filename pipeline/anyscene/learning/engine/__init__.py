"""The training loop and what it rests on: processes, checkpoints, histories, curves."""

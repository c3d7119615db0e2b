"""The training of the demo's small models."""

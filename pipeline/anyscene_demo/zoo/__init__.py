"""Training of the demo's small models."""

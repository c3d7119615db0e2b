"""Step 9: what features are for."""

"""Step 11: what a person looks at."""

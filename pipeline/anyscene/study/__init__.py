"""Step 10: the ablation, its scores, and how certain they are."""

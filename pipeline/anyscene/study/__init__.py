"""Step 10: the ablation, its scores and their doubt."""

"""Step 5: what each 2D model knows of each class, measured without annotation."""

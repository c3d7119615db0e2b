"""Step 5: what each 2D model knows, class by class, without annotation."""

"""Step 4: from images to points, and points to superpoints."""

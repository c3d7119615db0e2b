"""Step 4: from images to points, and from points to superpoints."""

"""What a training sees of a scene: clouds, voxels, augmentation."""

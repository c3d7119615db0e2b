"""nuScenes as it is released."""

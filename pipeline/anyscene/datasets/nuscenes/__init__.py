"""nuScenes as it is published."""

"""Free texts asked of a scene."""

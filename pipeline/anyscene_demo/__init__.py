"""The embedded demo world: rooms of freely licensed models, ray-cast into posed RGB-D captures."""

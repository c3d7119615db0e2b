"""The embedded demo world: rooms furnished with freely licensed models, ray-cast into posed RGB-D captures."""

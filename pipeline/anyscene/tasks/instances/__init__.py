"""Proposals of objects, which get their names by the features inside them, and their average precision."""

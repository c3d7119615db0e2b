"""Proposals of objects, named by the features inside them, and their average precision."""

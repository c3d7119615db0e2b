"""Training of sparse networks: an engine, views of clouds, and the objectives that are minimised.

This package is light to import, because reading params.yaml imports the entries of objectives. What trains is
`learning.train`."""

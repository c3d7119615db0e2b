"""Training of sparse networks: an engine, views of clouds, and the objectives that are minimised.

Light to import, for reading params.yaml imports the entries of objectives; learning.train trains."""

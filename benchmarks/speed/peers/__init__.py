"""The peers: published algorithms, restated from their descriptions and not optimised."""

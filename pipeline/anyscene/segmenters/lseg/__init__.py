"""LSeg (Li et al. 2022): a dense model in CLIP's text space."""

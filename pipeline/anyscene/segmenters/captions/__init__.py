"""Captions of masks: who writes them, and the sentences made of them."""

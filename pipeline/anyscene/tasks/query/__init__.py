"""Queries: where in a scene is what a free text names?"""

"""Small worlds, captures and models that tests are about."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

"""The viewer: a scene in the browser, its layers, the heat of a text, and what is known of a point."""

from anyscene.tasks.query.similarity import SAMPLE

DRAWN = SAMPLE  # points at once, which a browser without a GPU still draws several times a second

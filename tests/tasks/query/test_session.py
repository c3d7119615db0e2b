"""What a text finds in a scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anyscene.project import parameters, store
from anyscene.project.layout import Artefacts
from anyscene.tasks import sources
from anyscene.tasks.query.session import Session
from anyscene.tasks.query.similarity import By
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Texts
from tests.builders import miniature


def test_a_text_like_no_class_is_found_by_the_features_themselves(rooms):
    """A feature that no class has, at the chair's points; the text is that feature."""
    encoder = miniature.Spelling()
    settings = parameters.load(rooms / "params.yaml")
    surface, classes = Surface.read(Artefacts(rooms), "room0"), Texts.of(settings, encoder).classes
    fused = sources.of_scene(Artefacts(rooms), "room0", "fusion")
    chair = np.flatnonzero(store.open_scene(rooms / "data/labels/room0.zarr")["label"][:] == 4)
    feature = fused.dense()
    feature[chair] += 2 * encoder.encode(["a guitar"])
    strummed = Session.of(surface, replace(fused, values=feature), classes)
    found = strummed.ask(encoder, "a guitar", (), 1, By.both)
    assert np.isin(np.flatnonzero(np.isin(surface.superpoint, found.matches[0].superpoints)), chair).all()
    assert found.through == (None,)
    named = strummed.ask(encoder, "a bed in a scene", (), 1, By.both)
    assert named.through[0].name == "bed" and named.through[0].gloss is None

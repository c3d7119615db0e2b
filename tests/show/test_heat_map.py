"""Pictures of heat."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from anyscene.project.layout import Artefacts
from anyscene.show import heat_map, palette
from anyscene.tasks.surface import Surface


def test_a_point_has_the_heat_of_the_text_that_describes_it_best(rooms):
    surface = Surface.read(Artefacts(rooms), "room0")
    left = (np.arange(len(surface)) % 2).astype(np.float32)
    answers = [SimpleNamespace(heat=left), SimpleNamespace(heat=1 - left)]
    every = palette.heat_over(surface.rgb, np.ones(len(surface), np.float32))
    np.testing.assert_array_equal(heat_map.colours(surface, answers), every)
    np.testing.assert_array_equal(
        heat_map.colours(surface, answers[:1]), palette.heat_over(surface.rgb, left)
    )

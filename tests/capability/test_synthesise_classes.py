"""The stage synthesis: a group for each class of the vocabulary."""

import numpy as np

from anyscene.capability import synthesise_classes
from anyscene.project import layout, store
from anyscene.project.freshness import Freshness


class Painter:
    """Paints nothing, and remembers of what."""

    def __init__(self):
        self.asked = []

    def generate(self, name, seeds):
        self.asked.append(name)
        return np.zeros((len(seeds), 8, 8, 3), np.uint8), np.zeros((len(seeds), 8, 8), np.float32)

    def mask(self, image, points):
        return np.zeros(image.shape[:2], bool)


def test_any_class_has_a_group_of_its_own_and_is_painted_by_its_name(project, monkeypatch):
    painter = Painter()
    monkeypatch.setattr(synthesise_classes, "models", lambda settings, device: (painter, painter))
    project.change(vocabulary=["tv/monitor", "shower curtain", ".net", "100% wool"], synthesis={"images": 1})
    done = synthesise_classes.synthesise_classes(project.params, Freshness("code"))
    assert len(done.done) == 4
    assert sorted(painter.asked) == [".net", "100% wool", "shower curtain", "tv/monitor"]
    ids = ["%2Enet", "100%25_wool", "shower_curtain", "tv%2Fmonitor"]
    assert store.scene_ids(layout.SYNTHESIS) == ids

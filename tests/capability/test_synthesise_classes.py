"""The stage synthesis: a group for each class of the vocabulary."""

import numpy as np
import pytest

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


@pytest.mark.parametrize(("key", "value"), [("point_recipe", "code"), ("sam_channels", "bgr"), (None, None)])
def test_what_sam_is_shown_follows_the_settings(project, monkeypatch, key, value):
    shown = []

    class Drawn(Painter):
        def generate(self, name, seeds):
            images, attention = super().generate(name, seeds)
            images[:] = (1, 2, 3)
            return images, attention

        def mask(self, image, points):
            shown.append((image[0, 0].tolist(), len(points)))
            return super().mask(image, points)

    monkeypatch.setattr(synthesise_classes, "models", lambda settings, device: (Drawn(), Drawn()))
    project.change(vocabulary=["bed"], synthesis={"images": 1} | ({key: value} if key else {}))
    synthesise_classes.synthesise_classes(project.params, Freshness("code"))
    colour = [3, 2, 1] if key == "sam_channels" else [1, 2, 3]
    assert shown == [(colour, 3 if key == "point_recipe" else 4)]  # of a mask that is empty
    image = store.open_scene(layout.SYNTHESIS / "bed.zarr")["image"][:]
    assert image[0, 0, 0].tolist() == [1, 2, 3]  # as the 2D models see it


def test_every_setting_of_the_stage_reaches_what_it_writes(project, monkeypatch):
    """Seeds, the number of images, the threshold of the attention, and which models are loaded."""
    seeds, loaded = [], []

    class Drawn(Painter):
        def generate(self, name, asked):
            seeds.extend(asked)
            images, attention = super().generate(name, asked)
            attention[:] = np.linspace(0, 1, 8)  # from the left
            return images, attention

    def load(settings, device):
        loaded.append((settings.diffusion, settings.sam))
        return Drawn(), Drawn()

    monkeypatch.setattr(synthesise_classes, "models", load)
    asked = {"images": 2, "seed": 5, "attention_threshold": 0.6, "diffusion": "mine/unet", "sam": "mine/sam"}
    project.change(vocabulary=["bed"], synthesis=asked)
    synthesise_classes.synthesise_classes(project.params, Freshness("code"))
    assert seeds == [5, 6] and set(loaded) == {("mine/unet", "mine/sam")}
    coarse = store.open_scene(layout.SYNTHESIS / "bed.zarr")["coarse"][:]
    assert coarse.shape == (2, 8, 8)
    columns = coarse[0].any(0)
    assert not columns[:5].any() and columns[5:7].all()  # 5/7 is more than 0.6; a border is cleared

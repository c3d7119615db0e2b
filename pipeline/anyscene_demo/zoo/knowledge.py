"""What each demo segmenter was taught, as data.

Published 2D models know different things: in a model's training sets a class is missing, or has a coarser
name, or is rare, or badly labelled. The demo's two models get the same kinds of gaps for different classes,
so that there is something true for capability to measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from anyscene.arrays import I8, U1, U2

IGNORE = 255


@dataclass(frozen=True)
class Knowledge:
    """Gaps in the labels on which a model is trained. Classes that are not named here are fully taught."""

    unseen: tuple[str, ...] = ()  # classes whose pixels have no label
    coarse: Mapping[str, str] = field(default_factory=dict)  # class -> the name that its pixels have instead
    few: Mapping[str, float] = field(default_factory=dict)  # class -> the share of its objects with a label
    noise: Mapping[str, tuple[str, float]] = field(default_factory=dict)  # class -> (wrong name, its share)

    def taught(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """The names that labels have in training, in the order of `classes`."""
        return tuple(name for name in classes if name not in self.unseen and name not in self.coarse)


DENSE = Knowledge(
    unseen=("toilet", "curtain"),
    coarse={"bookshelf": "cabinet", "refrigerator": "cabinet", "desk": "table", "picture": "wall"},
    few={"bathtub": 0.1, "counter": 0.1},
    noise={"window": ("door", 0.3), "chair": ("table", 0.2)},
)
MASK = Knowledge(
    unseen=("bed", "sink", "bathtub", "otherfurniture"),
    coarse={"sofa": "chair", "door": "wall", "shower curtain": "curtain"},
    few={"toilet": 0.1, "refrigerator": 0.1},
    noise={"cabinet": ("bookshelf", 0.3), "table": ("desk", 0.3)},
)


def relabel(
    knowledge: Knowledge,
    classes: tuple[str, ...],
    label: U1,
    instance: U2,
    place: I8,
    seed: int,
) -> U1:
    """u1[n, H, W]: labels as a model with this knowledge sees them, indices into `knowledge.taught(classes)`,
    255 = none.

    label: u1[n, H, W], indices into `classes`, 255 = none. instance: u2[n, H, W], 0 = none. place: i8[n], the
    room or single image to which instances belong. What happens to an object is drawn once from (seed,
    place), so all views of it agree.
    """
    names = knowledge.taught(classes)
    renamed = np.full(256, IGNORE, np.uint8)
    wrong = np.full(256, IGNORE, np.uint8)  # where noise strikes
    chance = np.zeros(256)
    for index, name in enumerate(classes):
        if name not in knowledge.unseen:
            renamed[index] = names.index(knowledge.coarse.get(name, name))
        if name in knowledge.few:
            chance[index] = 1 - knowledge.few[name]
        if name in knowledge.noise:
            wrong[index] = names.index(knowledge.noise[name][0])
            chance[index] = knowledge.noise[name][1]
    shown = np.empty_like(label)
    for i in range(len(label)):
        draw = np.random.default_rng([seed, int(place[i])]).random(1 << 12)
        struck = draw[instance[i].astype(np.int64) % len(draw)] < chance[label[i]]
        shown[i] = np.where(struck, wrong[label[i]], renamed[label[i]])
    return shown

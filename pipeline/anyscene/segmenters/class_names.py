"""The names in labels of COCO and ADE20K."""

from __future__ import annotations

import re

# The 139 names that SAS asks SEEM for: the classes of COCO's panoptic task in SEEM's order
# (utils/constants.py of both), and six that SAS adds. "others" is the last, where SEEM expects its class of
# nothing.
SEEM = tuple(
    """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
    stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe,
    backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat,
    baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon,
    bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch,
    potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave,
    oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush,
    banner, blanket, bridge, cardboard, counter, curtain, door-stuff, floor-wood, flower, fruit, gravel,
    house, light, mirror-stuff, net, pillow, platform, playingfield, railroad, river, road, roof, sand,
    sea, shelf, snow, stairs, tent, towel, wall-brick, wall-stone, wall-tile, wall-wood, water-other,
    window-blind, window-other, tree-merged, fence-merged, ceiling-merged, sky-other-merged,
    cabinet-merged, table-merged, floor-other-merged, pavement-merged, mountain-merged, grass-merged,
    dirt-merged, paper-merged, food-other-merged, building-other-merged, rock-merged, wall-other-merged,
    rug-merged,
    sofa, bookshelf, desk, shower curtain, bathtub, others
    """.replace("\n    ", " ")
    .strip()
    .split(", ")
)
COUNTABLE = 80  # of these, the first; two masks of another class are one


def names(label: str) -> tuple[str, ...]:
    """What a class of COCO or ADE20K is called: "door-stuff" -> ("door",), "sky-other-merged" -> ("sky",),
    "windowpane, window " -> ("windowpane", "window")."""
    plain = (re.sub(r"(-(stuff|other|merged))+$", "", part.strip()) for part in re.split("[,;]", label))
    return tuple(re.sub("[-_]", " ", part) for part in plain if part) or (label,)

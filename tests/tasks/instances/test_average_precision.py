"""Average precision of proposals, against a plain twin that goes from object to object by sets of points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyscene.datasets import label_set
from anyscene.tasks.instances import average_precision
from anyscene.tasks.instances.average_precision import LabelledScene, evaluate_instances
from anyscene.tasks.point_masks import PointMasks
from anyscene.tasks.segmentation.metrics import EvaluationError

SET = label_set("scannet20")
THINGS = [row for row, name in enumerate(SET.names) if name not in ("wall", "floor")]
CHAIR, TABLE, WALL = SET.names.index("chair"), SET.names.index("table"), 0
STEPS = [0.5 + 0.05 * i for i in range(9)]


def scene(objects, proposals, points=1000):
    """objects: (class, slice); proposals: (class, slice, score)."""
    target, instance = np.full(points, -1), np.full(points, -1)
    for number, (row, where) in enumerate(objects):
        target[where], instance[where] = row, number
    mask = np.zeros((len(proposals), points), bool)
    for index, (_, where, _) in enumerate(proposals):
        mask[index, where] = True
    label = np.array([row for row, _, _ in proposals], int)
    return LabelledScene(
        target, instance, PointMasks.of(mask, points), label, np.array([s for _, _, s in proposals], float)
    )


def random_scene(rng, points):
    """Objects in a row, some small; proposals that are objects, more or less shifted, cut and mislabelled."""
    edges = np.sort(rng.choice(np.arange(1, points), 5, replace=False))
    spans = list(zip([0, *edges], [*edges, points], strict=True))
    classes = [CHAIR, TABLE, WALL, 19]
    meant = [int(row) for row in rng.choice(classes, len(spans))]
    objects = [(row, slice(a, b)) for row, (a, b) in zip(meant, spans, strict=True) if rng.random() < 0.85]
    proposals = []
    for _ in range(rng.integers(0, 24)):
        which = rng.integers(len(spans))
        a, b = spans[which]
        row = meant[which] if rng.random() < 0.7 else int(rng.choice([*classes, -1]))
        shift = rng.normal(0, rng.choice([3, 40, 120]), 2).astype(int)
        a, b = max(a + shift[0], 0), min(b + shift[1], points)
        # Few scores: some are equal.
        proposals.append((row, slice(a, max(a, b)), rng.integers(0, 6) / 5))
    return scene(objects, proposals, points)


def slow_curve(right, wrong, missed):
    """Area under precision over recall, score by score."""
    total, curve = len(right) + missed, []
    for score in sorted({*right, *wrong}):
        tp, fp = sum(s >= score for s in right), sum(s >= score for s in wrong)
        curve.append((tp / total, tp / (tp + fp)))
    curve.append((0.0, 1.0))
    area = 0.0
    for i, (_, precision) in enumerate(curve):
        before = curve[max(i - 1, 0)][0]
        after = curve[i + 1][0] if i + 1 < len(curve) else 0.0
        area += precision * (before - after) / 2
    return area


def slow_sets(s, row):
    """(objects of the class, points to ignore, (points, score) of each proposal of the class)."""
    objects, void = {}, set()
    for i, (target, number) in enumerate(zip(s.target.tolist(), s.instance.tolist(), strict=True)):
        if target not in THINGS or number < 0:
            void.add(i)
        elif target == row:
            objects.setdefault(number, set()).add(i)
    objects = [objects[number] for number in sorted(objects)]
    void = void.union(*(thing for thing in objects if len(thing) < 100))
    proposals = [
        (set(np.flatnonzero(m).tolist()), float(score))
        for m, label, score in zip(s.masks, s.label, s.score, strict=True)
        if label == row and m.sum() >= 100
    ]
    return objects, void, proposals


def slow_ap(scenes, t):
    """Of scenes as `slow_sets` gives them; None without an object."""
    right, wrong, missed = [], [], 0
    for objects, void, proposals in scenes:
        used = set()
        for thing in objects:
            hits = [
                k
                for k, (p, _) in enumerate(proposals)
                if k not in used and len(p & thing) / len(p | thing) > t
            ]
            if len(thing) >= 100 and hits:
                used.add(hits[0])
                scores = sorted(proposals[k][1] for k in hits)
                right.append(scores.pop())
                wrong += scores
            elif len(thing) >= 100:
                missed += 1
        for p, score in proposals:
            if all(len(p & o) / len(p | o) <= t for o in objects) and len(p & void) / len(p) <= t:
                wrong.append(score)
    return slow_curve(right, wrong, missed) if right or missed else None


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_scores_are_those_of_the_plain_twin(seed):
    rng = np.random.default_rng(seed)
    scenes = [random_scene(rng, 900), random_scene(rng, 900)]
    sets = {row: [slow_sets(s, row) for s in scenes] for row in (CHAIR, TABLE, 19)}
    expected = {row: [slow_ap(of_class, t) for t in [*STEPS, 0.25]] for row, of_class in sets.items()}
    expected = {SET.names[row]: 100 * np.array(ap) for row, ap in expected.items() if ap[0] is not None}
    if not expected:
        with pytest.raises(EvaluationError, match="no scene has an annotated object of 100 points"):
            evaluate_instances(scenes, SET)
        return
    found = evaluate_instances(scenes, SET)
    assert found.per_class.keys() == expected.keys()
    for name, ap in expected.items():
        assert found.per_class[name] == pytest.approx((ap[:9].mean(), ap[0], ap[9]), abs=1e-9)
    assert found.AP == pytest.approx(np.mean([ap[:9].mean() for ap in expected.values()]), abs=1e-9)
    assert found.AP25 == pytest.approx(np.mean([ap[9] for ap in expected.values()]), abs=1e-9)
    assert len(found.absent) + len(expected) == 18


def test_all_found_and_nothing_else():
    objects = [
        (CHAIR, slice(0, 200)),
        (CHAIR, slice(200, 400)),
        (TABLE, slice(400, 600)),
        (WALL, slice(600, 900)),
    ]
    proposals = [(row, where, 0.5 + i / 10) for i, (row, where) in enumerate(objects[:3])]
    found = evaluate_instances([scene(objects, proposals)], SET)
    assert (found.AP, found.AP50, found.AP25) == (100, 100, 100)
    assert found.per_class == {"chair": (100, 100, 100), "table": (100, 100, 100)}
    assert "wall" not in found.absent and "floor" not in found.absent and "otherfurniture" in found.absent


def test_half_found():
    objects = [(CHAIR, slice(0, 200)), (CHAIR, slice(200, 400))]
    found = evaluate_instances([scene(objects, [(CHAIR, slice(0, 200), 0.9)])], SET)
    assert found.AP50 == 50  # recall 1/2 at precision 1
    found = evaluate_instances([scene(objects, [])], SET)
    assert (found.AP, found.AP25) == (0, 0)


def test_overlap_counts():
    objects = [(CHAIR, slice(0, 200))]
    found = evaluate_instances([scene(objects, [(CHAIR, slice(0, 124), 1.0)])], SET)  # IoU 0.62
    assert found.AP50 == 100 and found.AP == pytest.approx(100 * 3 / 9)
    found = evaluate_instances([scene(objects, [(CHAIR, slice(0, 100), 1.0)])], SET)  # 0.5 is not above 0.5
    assert (found.AP50, found.AP25) == (0, 100)


def test_second_proposal_of_an_object_is_wrong():
    twice = [(CHAIR, slice(0, 200), 0.3), (CHAIR, slice(0, 190), 0.8)]
    objects = [(CHAIR, slice(0, 200)), (CHAIR, slice(300, 500))]
    better = evaluate_instances([scene(objects, twice)], SET).AP50
    assert better == 50  # the wrong one comes after the right one
    wrong = (CHAIR, slice(600, 800), 0.9)
    objects.append((TABLE, slice(600, 800)))
    worse = evaluate_instances([scene(objects, [*twice, wrong])], SET).per_class["chair"][1]
    # Down the scores: 0.9 wrong, 0.8 right (precision 1/2, recall 1/2), 0.3 wrong (1/3 at the same recall).
    assert worse == pytest.approx(100 * (0.5 * 0.5 / 2 + 0 * 0.25 + 1 * 0.0))


def test_a_proposal_is_of_one_object_only():
    objects = [(CHAIR, slice(0, 200)), (CHAIR, slice(200, 400))]
    found = evaluate_instances([scene(objects, [(CHAIR, slice(0, 400), 0.5)])], SET)  # IoU 1/2 with both
    assert (found.AP50, found.AP25) == (0, 50)


def test_what_lies_on_nothing_is_ignored_and_what_lies_on_another_class_is_not():
    objects = [(CHAIR, slice(0, 200)), (TABLE, slice(200, 400)), (WALL, slice(400, 700))]
    right = (CHAIR, slice(0, 200), 0.5)

    def chair(where):
        return evaluate_instances([scene(objects, [right, (CHAIR, where, 0.9)])], SET).per_class["chair"][1]

    assert chair(slice(400, 600)) == 100 and chair(slice(700, 900)) == 100  # wall; not annotated
    assert chair(slice(200, 400)) < 100  # the table
    assert chair(slice(900, 950)) == 100 and chair(slice(200, 250)) == 100  # below 100 points


def test_small_objects_are_neither_missed_nor_wrong():
    objects = [(CHAIR, slice(0, 200)), (CHAIR, slice(200, 290))]
    proposals = [(CHAIR, slice(0, 200), 0.5), (CHAIR, slice(190, 290), 0.9)]
    assert evaluate_instances([scene(objects, proposals)], SET).AP50 == 100
    assert evaluate_instances([scene(objects, proposals[:1])], SET).AP50 == 100


def test_annotated_points_of_no_object_are_ignored():
    s = scene([(CHAIR, slice(0, 200))], [(CHAIR, slice(0, 200), 0.5), (CHAIR, slice(300, 500), 0.9)])
    s.target[300:500] = TABLE
    found = evaluate_instances([s], SET)
    assert found.AP50 == 100 and "table" in found.absent


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instance": np.zeros(3)}, r"instances \[3\] for \[1\] proposals of \[1000\] points"),
        (
            {"masks": PointMasks.of(np.zeros((2, 1000), bool), 1000)},
            r"masks \[2, 1000\] .* for \[1\] proposals of \[1000\] points; all must fit",
        ),
        ({"score": np.array([np.nan])}, "every proposal needs a finite score"),
    ],
)
def test_arrays_that_do_not_fit(changes, message):
    good = scene([(CHAIR, slice(0, 200))], [(CHAIR, slice(0, 200), 0.5)])
    with pytest.raises(EvaluationError, match=message):
        evaluate_instances([LabelledScene(**{**vars(good), **changes})], SET)


def test_objects_are_of_18_and_198_classes():
    assert (
        len(average_precision.things(SET)) == 18
        and len(average_precision.things(label_set("scannet200"))) == 198
    )

"""Marks lie where their values say, labels do not cover each other."""

from __future__ import annotations

import re

import numpy as np
import pytest

from anyscene.show import charts


def test_scatter_of_percent_spans_nought_to_hundred():
    plot = charts.scatter("dense", "", ["bed", "door"], [0, 100], [50, 100], side=200)
    assert [(m.x, m.y) for m in plot.marks] == [(0, 100), (200, 0)]
    assert [t.text for t in plot.x_ticks] == ["0", "25", "50", "75", "100"]
    assert plot.y_ticks[0].at == 200 and plot.y_ticks[-1].at == 0


def test_scatter_of_differences_is_symmetric():
    plot = charts.scatter("a − b", "", ["bed", "door", "sink"], [-31, 0, 10], [5, 0, -10], side=200)
    assert [t.text for t in plot.x_ticks] == ["-40", "-20", "0", "20", "40"]
    assert (plot.marks[1].x, plot.marks[1].y) == (100, 100)


def test_labels_never_overlap_and_the_crowded_are_left_out():
    rng = np.random.default_rng(0)
    names = [f"class number {i}" for i in range(40)]
    plot = charts.scatter("x", "", names, rng.uniform(40, 60, 40), rng.uniform(40, 60, 40))
    shown = [m for m in plot.marks if m.name]
    assert 0 < len(shown) < 40 and all(m.hint for m in plot.marks)
    boxes = []
    for m in shown:
        length = charts.LETTER * len(m.name)
        left = m.label_x - {"start": 0, "middle": length / 2, "end": length}[m.anchor]
        boxes.append((left, m.label_y, left + length, m.label_y + charts.LINE))
    for i, a in enumerate(boxes):
        assert not any(charts.overlap(a, b) for b in boxes[:i])


def test_curve_averages_and_begins_at_nought():
    plot = charts.curve("loss", range(1000), np.full(1000, 2.0), width=100, height=50, points=10)
    numbers = np.array(re.findall(r"[\d.]+", plot.path), float).reshape(-1, 2)
    assert numbers.shape == (10, 2) and (numbers[:, 1] == 0).all()
    assert plot.y_ticks[0].text == "0" and plot.y_ticks[0].at == pytest.approx(50)


@pytest.mark.parametrize("high", [0.003, 0.7, 1, 9, 1000, 123456])
def test_ticks_are_few_and_inside(high):
    ticks = charts.nice_ticks(0, high)
    assert 4 <= len(ticks) <= 8 and ticks[0] == 0 and ticks[-1] <= high * 1.0001


def test_a_curve_of_one_step():
    assert charts.curve("loss", [0.0], [0.0]).path.startswith("M")


def numbers(path):
    assert path.startswith("M")
    return [tuple(map(float, point.split(" "))) for point in path[1:].split("L")]


def test_a_curve_lies_where_its_means_say():
    """Ten steps in five parts: steps 0.5, 2.5 .. 8.5 in a box of 85 x 60; the mean losses 11, 7, 3, -1, 1."""
    loss = [12, 10, 8, 6, 4, 2, 0, -2, 0, 2]
    plot = charts.curve("loss", range(10), loss, width=85, height=60, points=5)
    assert (plot.title, plot.width, plot.height) == ("loss", 85, 60)
    assert numbers(plot.path) == [(5, 0), (25, 20), (45, 40), (65, 60), (85, 50)]
    assert [(tick.text, tick.at) for tick in plot.x_ticks] == [
        ("0", 0),
        ("2", 20),
        ("4", 40),
        ("6", 60),
        ("8", 80),
    ]
    assert [(tick.text, tick.at) for tick in plot.y_ticks] == [
        ("0", 55), ("2.5", 42.5), ("5", 30), ("7.5", 17.5), ("10", 5)
    ]  # fmt: skip


def test_a_curve_of_parts_that_are_not_equal():
    """Five steps in two parts: of three and of two."""
    plot = charts.curve("loss", [0, 1, 2, 3, 5], [3, 3, 3, 1, 2], width=40, height=30, points=2)
    assert numbers(plot.path) == [(10, 0), (40, 15)]
    whole = charts.curve("loss", [0, 1, 2], [4, 3, 1], width=20, height=40)
    assert numbers(whole.path) == [(0, 0), (10, 10), (20, 30)]
    assert len(numbers(charts.curve("loss", range(1000), range(1000)).path)) == 160


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (0, 7, [0, 1, 2, 3, 4, 5, 6, 7]),
        (0, 8, [0, 2, 4, 6, 8]),
        (0, 10, [0, 2.5, 5, 7.5, 10]),
        (0, 20, [0, 5, 10, 15, 20]),
        (0, 39.9, [0, 5, 10, 15, 20, 25, 30, 35]),
        (0, 40, [0, 10, 20, 30, 40]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (-0.3, 0.8, [-0.25, 0, 0.25, 0.5, 0.75]),
    ],
)
def test_ticks_are_round_numbers(low, high, expected):
    np.testing.assert_allclose(charts.nice_ticks(low, high), expected, atol=1e-12)


def test_a_name_stands_at_the_first_free_place_around_its_point():
    """Right of it, left, above, below, or nowhere. "abcde" is 28 wide and 11 high, and a point takes 4 to
    each side."""

    def place(x, y, *others):
        """In a square of 100 with percent as units; y upwards."""
        points = [(x, y), *others]
        names = ["abcde", *("" for _ in others)]
        plot = charts.scatter("", "", names, [p[0] for p in points], [p[1] for p in points], side=100)
        mark = plot.marks[0]
        return (mark.x, mark.y), mark.name and (mark.label_x, mark.label_y, mark.anchor)

    right, left, above = (60, 60), (40, 60), (50, 72)
    assert place(50, 60) == ((50, 40), (56, 43.5, "start"))
    assert place(50, 60, right) == ((50, 40), (44, 43.5, "end"))
    assert place(50, 60, right, left) == ((50, 40), (50, 33, "middle"))
    assert place(50, 60, right, left, above) == ((50, 40), (50, 54, "middle"))
    assert place(50, 60, right, left, above, (50, 48)) == ((50, 40), "")
    assert place(66, 60)[1] == (72, 43.5, "start") and place(67, 60)[1] == (61, 43.5, "end")  # 72 + 28 = 100
    assert place(34, 60, (44, 60))[1] == (28, 43.5, "end")  # 28 - 28 = 0
    assert place(33, 60, (43, 60))[1] == (33, 33, "middle")
    assert place(50, 95)[1] == (50, 19, "middle")  # a name at its side would reach beyond the top


def test_what_is_said_of_a_point():
    plot = charts.scatter("dense", "a note", ["bed"], [12.6], [-7.4], side=80)
    assert (plot.title, plot.note, plot.side, plot.line) == ("dense", "a note", 80, (0, 80, 80, 0))
    (mark,) = plot.marks
    assert mark.hint == "bed: 13 | -7" and (mark.x, mark.y) == pytest.approx((65.2, 54.8))
    assert [(tick.text, tick.at) for tick in plot.y_ticks] == [
        ("-20", 80), ("-10", 60), ("0", 40), ("10", 20), ("20", 0)
    ]  # fmt: skip


def test_boxes_that_only_touch_do_not_overlap():
    box = (10, 10, 20, 20)
    for other in ((20, 10, 30, 20), (0, 10, 10, 20), (10, 20, 20, 30), (10, 0, 20, 10)):
        assert not charts.overlap(box, other) and not charts.overlap(other, box)
    for other in ((19, 19, 30, 30), (0, 0, 11, 11), (12, 12, 13, 13), (0, 12, 30, 13)):
        assert charts.overlap(box, other) and charts.overlap(other, box)

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

"""The figures that the page draws, of stored ones."""

from __future__ import annotations

import pytest

from anyscene.show.report import scores


def test_a_row_of_the_confusion_is_in_percent_of_its_class():
    stored = {
        "row": "fused",
        "names": ["wall", "floor", "bed", "lamp"],
        "confusion": {"fused": [[6, 2, 0, 0, 2], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 8, 0]]},
    }
    found = scores.confusion(stored, None)
    assert found["columns"] == ["wall", "floor", "bed", "lamp", "nothing"]
    lines = {name: [cell["value"] for cell in cells] for name, cells in found["lines"]}
    assert lines == {
        "wall": [60, 20, 0, 0, 20],
        "floor": [0, 50, 50, 0, 0],
        "lamp": [0, 0, 0, 100, 0],  # no bed is annotated
    }
    assert all(sum(values) == pytest.approx(100) for values in lines.values())
    assert found["title"] == "fused" and scores.confusion(None, None) is None
    assert [cell["dark"] for cell in dict(found["lines"])["wall"]] == [False, True, True, True, True]

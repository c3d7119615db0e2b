from __future__ import annotations

import json

from anyscene.datasets import label_set
from anyscene.study import rows
from tests.builders import figures

SCANNET = label_set("scannet20")


def test_rows_are_read_as_they_were_written(study):
    found = rows.of(study.metrics)
    names = ("dense", "mask", "add", "capability", "shuffled", "distilled", "ensembled")
    assert found == tuple(figures.row(name) for name in names)
    assert rows.of(json.loads(json.dumps(study.metrics))) == found
    assert [row.name for row in rows.measured(study.metrics)] == list(names[:5])

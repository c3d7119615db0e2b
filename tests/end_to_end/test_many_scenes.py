"""What a change costs in a data set of many scans: counted, through dvc."""

import re
import shutil

import numpy as np
import pytest

from tests.builders.capture import write_scan, write_splits

pytestmark = pytest.mark.integration

STAGES = ("scenes", "superpoints", "projection of dense", "projection of mask", "fusion")


@pytest.fixture(scope="module", params=[12, pytest.param(200, marks=pytest.mark.slow)])
def scans(request):
    """The names of the scans."""
    return [f"scan{index:03}" for index in range(request.param)]


@pytest.fixture(scope="module")
def crowded(finished, scans, tmp_path_factory):
    """Of the finished project, whose synthesised images and capabilities stay as they are."""
    crowded = finished.copy(tmp_path_factory.mktemp("many") / "copy")
    for stage in ("scenes", "superpoints", "projection", "fusion"):
        shutil.rmtree(crowded.folder / "data" / stage)
    crowded.set(
        {
            "dataset": {"name": "many", "root": "data/captures"},
            "projection": {"width": 32, "height": 24, "border": 1},
        }
    )
    for index, scan in enumerate(scans):
        write_scan(root(crowded), scan, frames=1, seed=index)
    write_splits(root(crowded), scans, [])
    assert counts(crowded) == dict.fromkeys(STAGES, (len(scans), 0, 0))
    return crowded


def root(crowded):
    return crowded.folder / "data" / "captures"


def counts(crowded):
    """Scenes (computed, unchanged, removed) of every stage that `dvc repro fusion` runs."""
    result = crowded.dvc("repro", "fusion")
    assert result.code == 0, result.output
    lines = re.findall(r"^(.+): (\d+) computed, (\d+) unchanged, (\d+) removed", result.output, re.MULTILINE)
    return {stage: tuple(map(int, numbers)) for stage, *numbers in lines if stage in STAGES}


def test_a_change_costs_what_depends_on_it(crowded, scans):
    count = len(scans)
    write_scan(root(crowded), "new", frames=1)
    write_splits(root(crowded), [*scans, "new"], [])
    assert counts(crowded) == dict.fromkeys(STAGES, (1, count, 0))

    pose = root(crowded) / scans[7] / "pose" / "0.txt"
    np.savetxt(pose, np.loadtxt(pose) + 0.01 * np.eye(4, k=3))
    expected = dict.fromkeys(STAGES, (1, count, 0))
    del expected["superpoints"]  # dvc runs it, for data/scenes has changed, but no cloud has
    found = counts(crowded)
    assert found.pop("superpoints") == (0, count + 1, 0) and found == expected

    shutil.rmtree(root(crowded) / "new")
    write_splits(root(crowded), scans, [])
    assert counts(crowded) == dict.fromkeys(STAGES, (0, count, 1))

    crowded.set({"fusion": {"tau": 0.1}})
    assert counts(crowded) == {"fusion": (count, 0, 0)}


def test_nothing_is_done_where_nothing_changed(crowded):
    assert crowded.dvc("repro", "fusion").stages == []

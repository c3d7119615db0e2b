"""A miniature of every data set, in its form on disk, from raw files to the report, by dvc."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from anyscene.datasets import label_set
from tests.builders import capture, matterport, nuscenes, scannet

pytestmark = pytest.mark.integration

STAGES = (
    *("scenes", "labels", "superpoints", "projection@dense", "projection@mask", "fusion"),
    *("training@distilled", "training@ensembled", "evaluation", "report"),
)


@dataclass(frozen=True)
class Case:
    """write: puts the raw files under a folder and returns dataset.root; classes: those that are annotated in
    `scenes`, the scenes of the evaluated split."""

    write: Callable[[Path], Path]
    reader: str
    label_set: str
    scenes: tuple[str, ...]
    classes: frozenset[str]
    split: str = "val"
    changes: dict = field(default_factory=dict)


def _scannet(folder: Path) -> Path:
    return scannet.write_root(folder, "scene0000_00", "scene0011_00", frames=2, lost=(1,))


def _matterport(folder: Path) -> Path:
    root = matterport.write_root(folder, "17DRP5sb8fy", "2t7WUuJeko7", regions=1, assigned=(0,))
    of_index = dict(zip(FREQUENT.ids["matterport"].tolist(), FREQUENT.names, strict=True))
    names = [of_index.get(index, "") for index in range(1, max(of_index) + 1)]
    nyu40 = dict(zip(COMMON.names, COMMON.ids["nyu40"].tolist(), strict=True))
    rows = [(name or "odd", nyu40.get(name, 40), name) for name in names]
    matterport.write_table(folder / "category_mapping.tsv", rows)
    return root


def _nuscenes(folder: Path) -> Path:
    return nuscenes.write_root(folder, "scene-0061", "scene-0103", keyframes=1)


def _capture(folder: Path) -> Path:
    for seed, name in enumerate(("hall", "kitchen")):
        capture.write_scan(folder, name, mesh=False, annotated=False, seed=seed)
    capture.write_splits(folder, ["hall"], ["kitchen"])
    return folder


COMMON, FREQUENT = label_set("matterport21"), label_set("matterport160")
WINDOW = FREQUENT.names[FREQUENT.ids["matterport"].tolist().index(matterport.DOORFRAME)]  # of that row there
CASES = {
    "scannet200": Case(
        _scannet, "scannet", "scannet200", ("scene0011_00",), frozenset({"chair", "kitchen cabinet"})
    ),
    "scannet20": Case(_scannet, "scannet", "scannet20", ("scene0011_00",), frozenset({"chair", "cabinet"})),
    "matterport": Case(  # Tables 2 and 3 of the paper: one training, four label sets
        _matterport,
        "matterport",
        "matterport21",
        ("2t7WUuJeko7_region0",),
        frozenset({"wall", "ceiling", WINDOW}),
        "test",
        {
            "evaluation": {"label_sets": ["matterport40", "matterport80", "matterport160"]},
            "scenes": {"contradictions": "warn"},  # the images see 2 m everywhere, which is not this room
        },
    ),
    "nuscenes": Case(
        _nuscenes,
        "nuscenes",
        "nuscenes16",
        ("scene-0103_00",),
        frozenset({"drivable surface", "manmade", "person"}),
        changes={"superpoints": {"method": "identity"}},
    ),
    "capture": Case(_capture, "rgbd", "scannet20", ("kitchen",), frozenset()),
}
TABLE_3 = {"dense", "mask", "add", "linear", "capability", "distilled", "ensembled"}
QUICK = ("scannet200", "matterport")  # of the most classes, and of several label sets


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_from_raw_files_to_the_report(workspace, name):
    case = CASES[name]
    root = case.write(workspace.folder / "raw")
    workspace.set(
        {
            "dataset": {
                "name": name,
                "reader": case.reader,
                "root": root.relative_to(workspace.folder).as_posix(),
                "label_set": case.label_set,
            },
            "projection": {"width": 32, "height": 24, "border": 1, "tolerance": 0.25},
            "superpoints": {"min_vertices": 4},
            **case.changes,
            "evaluation": {"split": case.split, **case.changes.get("evaluation", {})},
        }
    )
    pixelwise = name == "matterport"  # the baseline that Table 3 has beside them
    if pixelwise:
        distilled = workspace.params()["training"]["distilled"]
        baseline = distilled | {"kind": "pixel", "title": "pixel distillation"}
        workspace.set({"training": {"pixelwise": baseline}})
    refused = workspace.dvc("repro", "report")  # the finished project holds the scenes of its own world
    assert refused.code != 0 and "anyscene scenes --replace" in refused.output, refused.output
    assert workspace.run("-m", "stages.scenes", "--replace").code == 0
    result = workspace.dvc("repro", "report")
    assert result.code == 0, result.output
    once = [*STAGES, *(["training@pixelwise"] if pixelwise else [])]
    assert sorted(result.stages) == sorted(once)  # each once, in an order of dvc's own

    metrics = json.loads((workspace.folder / "reports/metrics.json").read_text())
    classes = label_set(case.label_set)
    assert (metrics["label_set"], metrics["split"]) == (case.label_set, case.split)
    confusion = json.loads((workspace.folder / "reports/plots/confusion.json").read_text())
    assert confusion["names"] == list(classes.names)
    page = (workspace.folder / "reports/index.html").read_text()
    assert f"<h1>anyscene <span>{name}</span></h1>" in page
    assert all(f"<h3>{scene}" in page for scene in case.scenes)
    assert f"label_set: {case.label_set}" in page
    if not case.classes:
        assert (metrics["scenes"], metrics["unannotated"]) == ([], list(case.scenes))
        assert metrics["semantic"] == {} and "No scene is annotated" in page
        return
    assert metrics["scenes"] == list(case.scenes) and metrics["points"] > 0
    for scores in metrics["semantic"].values():
        assert set(scores["per_class"]) == case.classes
    assert TABLE_3 | ({"pixelwise"} if pixelwise else set()) <= set(metrics["semantic"])
    assert set(metrics["absent"]) == set(classes.names) - case.classes
    assert all(name in page for name in case.classes)
    others = case.changes.get("evaluation", {}).get("label_sets", [])
    assert list(metrics.get("label_sets", {})) == others
    for other in others:  # the miniature's classes are among the most frequent ones
        found = metrics["label_sets"][other]
        assert found["points"] > 0 and list(found["semantic"]) == list(metrics["semantic"])
        assert all(set(scores["per_class"]) == case.classes for scores in found["semantic"].values())
        assert f"<th>{other}</th>" in page
    if name == "scannet200":  # of 200 classes, figures too
        assert set(metrics["semantic"]["ensembled"]["splits"]) == {"head"}
        plots = workspace.dvc("plots", "show")
        assert plots.code == 0, plots.output
        drawn = (workspace.folder / "dvc_plots/index.html").read_text()
        assert "IoU of every class by the last step" in drawn and "kitchen cabinet" in drawn

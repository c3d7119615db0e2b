"""Scans that fail among many: the others are through, and the report names those that are left out. A stage
that fails leaves what it wrote before."""

import json
import re
import shutil

import numpy as np
import pytest

from tests.builders.capture import write_scan, write_splits

pytestmark = pytest.mark.integration


def cut_mesh(scan):
    mesh = scan / "mesh.ply"
    mesh.write_bytes(mesh.read_bytes()[:-9])


def no_poses(scan):
    shutil.rmtree(scan / "pose")
    (scan / "pose").mkdir()


def lost_poses(scan):
    for pose in (scan / "pose").iterdir():
        np.savetxt(pose, np.full((4, 4), np.nan))


def no_numbers(scan):
    (scan / "intrinsics.txt").write_text("see the camera's manual\n")


def no_images(scan):
    shutil.rmtree(scan / "color")


def looks_away(scan):
    shutil.rmtree(scan / "depth")
    for pose in (scan / "pose").iterdir():
        np.savetxt(pose, np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.loadtxt(pose))


def labels_of_another_mesh(scan):
    label = scan / "truth" / "vertex_label.npy"
    np.save(label, np.load(label)[:-1])


WAYS = {  # -> (the stage that cannot go on, what it says)
    cut_mesh: ("scenes", r"mesh\.ply"),
    no_poses: ("scenes", "pose"),
    lost_poses: ("scenes", "pose"),
    no_numbers: ("scenes", r"intrinsics\.txt"),
    no_images: ("scenes", "color: no such folder"),
    looks_away: ("projection of", "no view sees any point"),  # of both models, one of which is named
    labels_of_another_mesh: ("labels", r"vertex_instance\.npy: 36 instances for 35 labels"),
}


@pytest.fixture(params=[20, pytest.param(300, marks=pytest.mark.slow)])
def scans(request):
    """The names of the scans, of which those of WAYS are broken."""
    return [f"scan{index:03}" for index in range(request.param)]


@pytest.fixture
def broken(workspace, scans):
    """A project with these scans, and {scan: its way}: three for validation, the others for training."""
    root = workspace.folder / "data/captures"
    for seed, scan in enumerate(scans):
        write_scan(root, scan, frames=2, seed=seed)
    ways = dict(zip(scans[2::2], WAYS, strict=False))
    for scan, damage in ways.items():
        damage(root / scan)
    write_splits(root, scans[8:], scans[:8])
    workspace.set(
        {
            "dataset": {"name": "many", "root": "data/captures"},
            "projection": {"width": 32, "height": 24, "border": 1},
            "scenes": {"contradictions": "warn"},  # of a camera that looks away, which is met in projection
            "superpoints": {"min_vertices": 5},
        }
    )
    shutil.rmtree(workspace.folder / "data/scenes")  # of other scans
    return workspace, ways


def test_the_others_are_through_and_what_failed_is_named(broken, scans):
    workspace, ways = broken
    # None may fail: everything is tried, nothing is lost, and the exit says so
    first = workspace.dvc("repro", "report")
    assert first.code != 0
    of_scenes = [scan for scan, way in ways.items() if WAYS[way][0] == "scenes"]
    assert f"{len(of_scenes)} of {len(scans)} scenes failed" in first.output
    imported = {path.stem for path in (workspace.folder / "data/scenes").glob("*.zarr")}
    assert imported == set(scans) - set(of_scenes)

    workspace.set({"runtime": {"failures": len(of_scenes)}})
    result = workspace.dvc("repro", "report")
    assert result.code == 0, result.output
    said = re.findall(r"^scenes: (\d+) computed, (\d+) unchanged", result.output, re.MULTILINE)
    assert said == [("0", str(len(scans) - len(of_scenes)))]  # what was imported then
    failed = json.loads((workspace.folder / "reports/metrics.json").read_text())["failed"]
    page = (workspace.folder / "reports/index.html").read_text()
    assert failed.keys() == ways.keys()
    for scan, way in ways.items():
        stage, words = WAYS[way]
        assert failed[scan].startswith(stage) and re.search(words, failed[scan]), failed[scan]
        assert re.search(rf"^  {scan}: ", result.output, re.MULTILINE), scan
        assert scan in page
    for stage, left_out in (("scenes", 5), ("superpoints", 5), ("fusion", 6), ("labels", 6)):
        there = list((workspace.folder / "data" / stage).glob("*.zarr"))
        assert len(there) == len(scans) - left_out, stage


OUTPUTS = {  # of stages that write no artefact by scene
    "capability@dense": ("data/capability/dense.json",),
    "evaluation": ("reports/metrics.json", "reports/summary.json", "reports/plots"),
    "report": ("reports/index.html",),
}
FULL_DISK = """import resource, sys
if "stages.{stage}" in sys.orig_argv:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
"""


def contents(workspace, stage):
    paths = [workspace.folder / name for name in OUTPUTS[stage]]
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return {file.relative_to(workspace.folder).as_posix(): file.read_bytes() for file in files}


def test_a_stage_that_fails_keeps_what_it_wrote_before(workspace, tmp_path):
    """DVC removes what does not persist before a stage runs."""
    result = workspace.dvc("repro", "report")
    assert result.code == 0, result.output
    for stage in OUTPUTS:
        before = contents(workspace, stage)
        (tmp_path / stage).mkdir()
        full = FULL_DISK.format(stage=stage.partition("@")[0])
        (tmp_path / stage / "sitecustomize.py").write_text(full)
        stale = workspace.folder / "reports/plots/of_another_version.csv"
        if stage == "evaluation":
            stale.write_text("of,another\n")
        result = workspace.dvc("repro", "--force", "--single-item", stage, path=tmp_path / stage)
        assert result.code != 0 and "cannot be written (File too large)" in result.output
        assert contents(workspace, stage).items() >= before.items(), stage
        result = workspace.dvc("repro", "--force", "--single-item", stage)
        assert result.code == 0, result.output
        assert contents(workspace, stage) == before and not stale.exists(), stage
        for name in before:
            (workspace.folder / name).unlink()
        result = workspace.dvc("repro", "--force", "--single-item", stage)
        assert result.code == 0, result.output
        assert contents(workspace, stage) == before, stage  # as where nothing was

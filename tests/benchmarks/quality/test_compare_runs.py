"""Two runs that are alike, and every way in which one can differ."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import typer
import zarr
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from anyscene.project import store
from benchmarks.quality import compare_runs

pytestmark = pytest.mark.integration


@pytest.fixture
def before(rooms, tmp_path):
    """A run, with the scores of one row."""
    shutil.copytree(rooms, tmp_path / "before")
    write_scores(tmp_path / "before", 50.0)
    return tmp_path / "before"


@pytest.fixture
def after(before):
    return shutil.copytree(before, before.with_name("after"))


def write_scores(run, score):
    path = run / "reports/metrics.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"semantic": {"distilled": dict.fromkeys(compare_runs.SCORES, score)}}))


def test_what_is_alike_may_have_other_attributes(before, after):
    store.note(after / "data/fusion/room0.zarr", made="otherwise")
    count, differing = compare_runs.compare(before, after, {})
    assert differing == [] and count > 100


def one_value(run):
    group = store.open_scene(run / "data/fusion/room0.zarr")
    value = group["feature"][:]
    value[0, 0] += np.float16(0.125)
    shutil.rmtree(run / "data/fusion/room0.zarr/feature")
    store.write(zarr.open_group(run / "data/fusion/room0.zarr", mode="r+"), "feature", value)


def one_tensor(run):
    path = run / "models/distilled/model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[0]
    tensors[name] = np.nextafter(tensors[name], np.inf, dtype=tensors[name].dtype)
    save_file(tensors, path)


def one_capability(run):
    path = run / "data/capability/mask.json"
    record = json.loads(path.read_text())
    record["capability"][0] += 0.1
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (one_value, "data/fusion/room0.zarr: feature"),
        (one_tensor, "distilled: "),
        (one_capability, "capability of mask: "),
        (lambda run: write_scores(run, 50.1), "row distilled: "),
        (lambda run: shutil.rmtree(run / "data/labels/room1.zarr"), "data/labels/room1.zarr: in one of the"),
        (lambda run: shutil.rmtree(run / "models/ensembled"), "ensembled: in one of the runs alone"),
    ],
)
def test_every_difference_is_named(before, after, change, said):
    change(after)
    _, differing = compare_runs.compare(before, after, {})
    assert len(differing) == 1 and differing[0].startswith(said), differing


def test_a_network_may_have_another_name(before, after):
    (after / "models/distilled").rename(after / "models/mine")
    text = (after / "reports/metrics.json").read_text()
    (after / "reports/metrics.json").write_text(text.replace("distilled", "mine"))
    assert compare_runs.compare(before, after, {"distilled": "mine"})[1] == []
    assert len(compare_runs.compare(before, after, {})[1]) == 4  # two networks, two rows


def test_numbers_are_compared_by_their_bits():
    one = np.array([0.0, np.nan], np.float32)
    assert compare_runs.same(one, one.copy()) and not compare_runs.same(one, -one)
    assert not compare_runs.same(one, one.astype(np.float64)) and not compare_runs.same(one, one[None])


def test_the_command_says_how_much_it_compared(before, after):
    app = typer.Typer()
    app.command()(compare_runs.main)
    done = CliRunner().invoke(app, [str(before), str(after)])
    assert done.exit_code == 0 and "compared, 0 differ" in done.stdout
    one_capability(after)
    done = CliRunner().invoke(app, [str(before), str(after)])
    assert done.exit_code == 1 and "compared, 1 differ" in done.stdout

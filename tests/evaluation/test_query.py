"""A text finds the points and superpoints that mean it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image
from plyfile import PlyData
from typer.testing import CliRunner

from pipeline import store
from pipeline.errors import StoreError
from pipeline.evaluation import query as search
from pipeline.evaluation.artefacts import Artefacts
from stages import query
from tests import miniature


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("query")
    miniature.write(folder, scenes=1, spacing=0.25)
    return folder


@pytest.fixture(autouse=True)
def light_text(monkeypatch):
    monkeypatch.setattr(query, "load_text_encoder", lambda section: miniature.Spelling())


def run(project, *arguments):
    return CliRunner().invoke(query.app, [*arguments, "--params", str(project / "params.yaml")])


def test_cosine_is_that_of_the_vectors_and_nan_without_a_feature():
    feature = np.array([[3, 4], [0, 0], [-1, 0], [5, 5]], np.float32)
    found = search.cosine(feature, np.array([True, True, True, False]), np.array([2.0, 0]))
    np.testing.assert_allclose(found, [0.6, 0, -1, np.nan], rtol=1e-6)


def test_superpoints_are_ranked_by_their_mean():
    similarity = np.array([0.9, 0.1, 0.6, 0.6, np.nan, np.nan, 0.2], np.float32)
    superpoint = np.array([0, 0, 1, 1, 2, 1, 3])
    xyz = np.arange(21, dtype=np.float32).reshape(7, 3)
    found = search.best_superpoints(similarity, superpoint, xyz, 5)
    assert [match.superpoint for match in found] == [1, 0, 3]  # 2 has no feature at all
    assert found[0].similarity == pytest.approx(0.6) and found[0].points == 3
    assert found[1].centre == (1.5, 2.5, 3.5) and found[1].extent == (3, 3, 3)


def test_relative_runs_from_the_median_to_the_top():
    values = np.append(np.linspace(0, 1, 1001), np.nan).astype(np.float32)
    found = search.relative(values)
    assert found[500] == 0 and found[0] == 0 and found[-1] == 0 and found[1000] == 1
    assert (np.diff(found[:-1]) >= 0).all()
    assert (search.relative(np.full(3, np.nan, np.float32)) == 0).all()


def test_the_named_furniture_is_found_in_fused_features(project, tmp_path):
    ply, png = tmp_path / "q.ply", tmp_path / "q.png"
    written = ("--out", str(ply), "--png", str(png))
    result = run(project, "room0", "a bed in a scene", "--source", "fusion", "--top", "2", *written)
    assert result.exit_code == 0, result.output
    similarity = PlyData.read(ply)["vertex"]["similarity"]
    label = store.open_scene(project / "data/labels/room0.zarr")["label"][:]
    assert similarity[label == 3].mean() > similarity[label != 3].mean() + 0.15
    assert Image.open(png).size == query.PICTURE
    assert "'a bed in a scene' in room0 (fusion)" in result.output and result.output.count("\n") >= 5


def test_the_most_refined_network_is_the_default(project, tmp_path):
    assert search.scene_features(Artefacts(project), "room0")[2] == "ensembling"
    for gone, left in (("ensembling", "distillation/superpoint"), ("distillation", "fusion")):
        copy = tmp_path / gone
        shutil.copytree(project, copy)
        shutil.rmtree(copy / "models/ensembling")
        shutil.rmtree(copy / "models" / gone, ignore_errors=True)
        assert search.scene_features(Artefacts(copy), "room0")[2] == left


def test_unknown_scenes_are_named_with_the_known(project):
    result = run(project, "room7", "a bed")
    assert result.exit_code == 1


def test_no_features_at_all_say_what_to_run(project, tmp_path):
    with pytest.raises(StoreError, match="dvc repro"):
        search.scene_features(Artefacts(tmp_path), "room0")

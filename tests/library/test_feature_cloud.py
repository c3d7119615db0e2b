"""A scene that is asked, as arrays: against the command line, the stored arrays and by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from plyfile import PlyData
from typer.testing import CliRunner

import anyscene
from anyscene.cli import query
from anyscene.errors import DataError, TextError
from anyscene.library import feature_cloud
from anyscene.project import store
from anyscene.tasks.features import Features
from anyscene.tasks.query import session
from anyscene.text import embeddings
from tests.builders import miniature

ENCODER = miniature.Spelling()


@pytest.fixture
def cloud(rooms):
    return anyscene.open("room0", project=rooms, source="fusion", encoder=ENCODER)


@pytest.fixture
def stored(rooms):
    return {
        name: store.open_scene(rooms / f"data/{name}/room0.zarr") for name in ("scenes", "fusion", "labels")
    }


@pytest.mark.parametrize("unit", ["object", "superpoint"])
@pytest.mark.parametrize("by", ["both", "cosine", "vocabulary"])
def test_the_ranking_is_that_of_the_command_line(cloud, rooms, tmp_path, monkeypatch, unit, by):
    monkeypatch.setattr(feature_cloud, "load_text_encoder", lambda section: ENCODER)
    asked = ["room0", "a bed", "--not", "a floor in a scene", "--top", "3", "--by", by, "--group", unit]
    files = ["--json", str(tmp_path / "q.json"), "--params", str(rooms / "params.yaml")]
    result = CliRunner().invoke(query.app, [*asked, "--source", "fusion", *files])
    assert result.exit_code == 0, result.output
    expected = json.loads((tmp_path / "q.json").read_text())["queries"][0]["matches"]
    found = cloud.query("a bed", negative=["a floor in a scene"], top=3, by=by, unit=unit)
    assert len(found) == len(expected) == 3
    assert (max(len(group.superpoints) for group in found) == 1) == (unit == "superpoint")
    for group, match in zip(found, expected, strict=True):
        assert group.superpoints.tolist() == match["superpoints"]
        assert (group.score, group.area, group.shows) == (match["score"], match["area"], match["shows"])
        assert group.mask.sum() == match["points"]
        assert np.array_equal(group.centre, np.array(match["centre"], np.float32))
        assert np.array_equal(group.box[1] - group.box[0], np.array(match["extent"], np.float32))


def test_groups_are_points_of_the_scene(cloud):
    found = cloud.query("a bed in a scene", top=2)
    assert (found.text, found.negative, len(found), len(found[:1])) == ("a bed in a scene", (), 2, 1)
    for group in found:
        assert group.mask.dtype == bool and group.mask.shape == (len(cloud),)
        inside = cloud.points[group.mask]
        assert np.array_equal(group.box, [inside.min(0), inside.max(0)])
        assert set(cloud.superpoints[group.mask]) == set(group.superpoints.tolist())
        np.testing.assert_allclose(found.scores[group.mask & cloud.valid].mean(), group.score, atol=2e-3)
    assert np.array_equal(np.isnan(found.scores), ~cloud.valid) and not cloud.valid.all()
    assert (found.heat[~cloud.valid] == 0).all() and found.heat.max() == 1


def test_every_point_has_a_score_also_where_a_sample_ranks(cloud, monkeypatch):
    monkeypatch.setattr(session, "SAMPLE", 50)
    found = cloud.query("a bed in a scene")
    assert found.scores.shape == (len(cloud),) and np.isfinite(found.scores[cloud.valid]).all()


def test_what_is_not_meant_has_no_score(cloud):
    found = cloud.query("a bed in a scene", negative=["a chair in a scene"])
    assert np.isnan(found.scores[cloud.valid]).any()


def test_a_class_for_each_point(cloud, stored):
    classes = ["chair", "a thing that nobody knows", "bed"]
    text, feature = embeddings(ENCODER, classes), stored["fusion"]["feature"][:].astype(np.float32)
    by_hand = [int((text @ row).argmax()) for row in feature]
    expected = np.where(stored["fusion"]["valid"][:], by_hand, -1)
    label = cloud.segment(classes)
    assert label.dtype == np.int16 and np.array_equal(label, expected) and set(label) == {-1, 0, 1, 2}
    table = anyscene.label_set("scannet20")
    assert np.array_equal(cloud.segment(), cloud.segment(table))
    assert np.array_equal(cloud.segment(), cloud.segment(list(table.prompts)))


def test_features_are_the_stored_ones(cloud, stored):
    assert (cloud.id, cloud.source, len(cloud)) == ("room0", "fusion", len(stored["scenes"]["xyz"][:]))
    for array, name in ((cloud.points, "xyz"), (cloud.colours, "rgb"), (cloud.normals, "normal")):
        assert np.array_equal(array, stored["scenes"][name][:])
    valid = stored["fusion"]["valid"][:]
    assert cloud.features.dtype == np.float32 and np.array_equal(cloud.valid, valid)
    assert np.array_equal(cloud.features[valid], stored["fusion"]["feature"][:][valid].astype(np.float32))


def test_where_there_is_no_feature_there_are_zeros(cloud):
    values = np.full((len(cloud), miniature.WIDTH), 7, np.float16)  # what fills rows may be anything
    filled = replace(cloud, load=lambda: Features("a", "a", values, None, np.arange(len(cloud)) < 3))
    assert (filled.features[:3] == 7).all() and (filled.features[3:] == 0).all()


def test_features_are_computed_when_they_are_asked_for(cloud):
    asked = []
    lazy = replace(cloud, load=lambda: asked.append(1) or cloud.load())
    assert len(lazy.points) == len(lazy) and asked == []
    lazy.segment(["bed"]), lazy.query("a bed"), lazy.features
    assert asked == [1]


def test_a_mesh_in_the_colours_of_any_classes(cloud, tmp_path):
    classes = ["chair", "bed"]
    file = cloud.to_ply(tmp_path / "new/labels.ply", classes)
    content = PlyData.read(file)
    label = content["vertex"]["label"]
    assert np.array_equal(label, cloud.segment(classes))
    assert content.comments == ["label 0 chair", "label 1 bed"]
    rgb = np.column_stack([content["vertex"][name] for name in ("red", "green", "blue")])
    assert len(np.unique(rgb, axis=0)) == 3  # two classes, and none


def test_a_folder_for_pointcept(cloud, stored, tmp_path):
    folder = cloud.to_pointcept(tmp_path)
    assert folder == tmp_path / "room0"
    assert np.array_equal(np.load(folder / "segment.npy"), stored["labels"]["label"][:])
    assert np.array_equal(np.load(folder / "prediction.npy"), cloud.segment())
    replace(cloud, truth=None).to_pointcept(tmp_path)
    assert not (folder / "segment.npy").exists() and not (folder / "instance.npy").exists()


def test_texts_of_another_width_are_refused(rooms):
    class Wide(miniature.Spelling):
        name, width = "wide", 17

    cloud = anyscene.open("room0", project=rooms, encoder=Wide())
    with pytest.raises(TextError, match=r"room0: the features of ensembled have 16 channels, .* wide 17"):
        cloud.query("a bed")


def test_what_cannot_be_asked(cloud):
    for classes, wrong in (
        ([], "0 classes; give 1 to 32767"),
        ([str(n) for n in range(32768)], "32768 classes; give 1 to"),
        (["bed", "chair", "bed"], "the classes 'bed' and 'bed' are one; give each once"),
        (["bed", "chair", "Bed "], "the classes 'bed' and 'Bed ' are one"),
        (["bed", "b\u200bed"], "are one; give each once"),
        (["", "bed"], "'': an empty text means nothing"),
        (["bed", "\u200b"], "'.u200b': an empty text means nothing"),
    ):
        with pytest.raises((DataError, TextError), match=wrong):
            cloud.segment(classes)
    for text, negative in (("\u200b", []), ("a bed", ["\u200b"]), ("", [])):
        with pytest.raises(TextError, match="an empty text means nothing"):
            cloud.query(text, negative=negative)
    for no_list, wrong in (
        ("bed", r"one text, where a list of classes is to be; give \['bed'\]"),
        (["bed", 3], "the class 3 is no text"),
        (3, "3 is no list of classes"),
    ):
        with pytest.raises(DataError, match=wrong):
            cloud.segment(no_list)
    with pytest.raises(TextError, match="one text, not list"):
        cloud.query(["a bed"])
    for no_texts in ("a chair", [3]):
        with pytest.raises(TextError, match="negative takes a list"):
            cloud.query("a bed", negative=no_texts)

"""Layers, the heat of a text, clicks and points of the viewer, without a browser."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from pipeline import datasets, store
from pipeline.errors import StoreError
from pipeline.evaluation import groups, query
from pipeline.evaluation.artefacts import Artefacts
from pipeline.evaluation.search import By, Unit, open_scene
from pipeline.report import images
from pipeline.text import embeddings
from pipeline.viewer import text
from pipeline.viewer.features import predicted, stored
from pipeline.viewer.picking import hit, spacing
from pipeline.viewer.room import Room
from tests import miniature

NAMES = datasets.label_set("scannet20").names


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewer")
    return folder, miniature.write(folder, scenes=1, spacing=0.2)


@pytest.fixture(scope="module")
def room(project):
    folder, params = project
    return Room(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion")


def test_layers_are_those_of_the_pipeline_in_its_order(room):
    assert room.layers == (
        "colour", "labels", "2D model dense", "2D model mask", "fused", "distilled by pixels", "distilled",
        "ensembled", "PCA of features", "superpoints", "weight of dense", "weight of mask",
    )  # fmt: skip
    painted = [room.colours(name) for name in room.layers]
    assert all(p.shape == room.xyz.shape and p.dtype == np.uint8 for p in painted)
    assert len({p.tobytes() for p in painted}) == len(painted)


def test_of_a_large_scene_some_points_are_drawn_and_all_count(project, room):
    folder, params = project
    few = Room(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion", shown=50)
    assert len(room.shown) == len(room.xyz) > len(few.shown) == 50
    np.testing.assert_array_equal(few.shown, np.unique(few.shown))
    assert set(few.below(1.0)) == {point for point in few.shown if few.xyz[point, 2] <= 1}
    assert few.spacing > room.spacing
    found, wanted = (one.find("a bed in a scene") for one in (few, room))
    np.testing.assert_array_equal(found.score, wanted.score)
    assert found.matches == wanted.matches


def test_a_label_layer_shows_the_closest_class_and_grey_without_a_feature(project, room):
    group = store.open_scene(project[0] / "data/projection/dense/room0.zarr")
    prompts = miniature.Spelling().encode(
        [f"a {p} in a scene" if p != "other" else p for p in room.label_set.prompts]
    )
    label = np.where(
        group["count"][:] > 0, (group["feature"][:].astype(np.float32) @ prompts.T).argmax(1), -1
    )
    expected = images.label_colours(label, room.label_set.colours)
    np.testing.assert_array_equal(room.colours("2D model dense"), expected)
    assert (label < 0).any()


def test_a_class_with_several_prompts_is_shown_once(project, room, tmp_path):
    folder, params = project
    several = replace(params.dataset, label_set=str(miniature.doubled(tmp_path / "several.csv")))
    other = Room(Artefacts(folder), "room0", replace(params, dataset=several), miniature.Spelling(), "fusion")
    np.testing.assert_array_equal(other.colours("2D model dense"), room.colours("2D model dense"))
    wall = int(np.flatnonzero((room.truth == 0) & room.features.valid)[0])
    assert other.describe(wall).scores == room.describe(wall).scores
    assert other.describe(wall).said == room.describe(wall).said


def test_one_class_alone_is_told_apart_whatever_its_neighbours_colours(room):
    bed = room.truth == NAMES.index("bed")
    shown = room.only("labels", "bed")
    np.testing.assert_array_equal(shown[bed], room.colours("labels")[bed])
    assert (shown[~bed].max(1) == shown[~bed].min(1)).all() and shown[~bed].max() <= 127
    for layer, name in (("labels", "all classes"), ("superpoints", "bed"), ("colour", "bed")):
        np.testing.assert_array_equal(room.only(layer, name), room.colours(layer))


def test_a_partly_computed_scene_has_the_layers_that_there_are(project, tmp_path):
    folder, params = project
    shutil.copytree(folder / "data/scenes", tmp_path / "data/scenes")
    bare = Room(Artefacts(tmp_path), "room0", params, miniature.Spelling())
    assert bare.layers == ("colour",) and bare.source is None
    assert bare.describe(0).scores == () and "Superpoint" not in text.point(bare.describe(0))
    with pytest.raises(StoreError, match=r"room0: neither fused.*dvc repro"):
        bare.find("bed")
    with pytest.raises(StoreError, match="room0: no features of fusion; there are none"):
        Room(Artefacts(tmp_path), "room0", params, miniature.Spelling(), "fusion")
    with pytest.raises(StoreError, match="room9: no such scene; imported are room0"):
        Room(Artefacts(tmp_path), "room9", params, miniature.Spelling())


def test_networks_have_a_row_for_each_voxel_that_equals_the_points_feature(project):
    artefacts = Artefacts(project[0])
    found = predicted(artefacts, "room0", "ensembling")
    expected, _, _ = query.scene_features(artefacts, "room0", "ensembling")
    assert len(found) < len(expected)
    half = np.abs(expected).max(1, keepdims=True) / 127 / 2
    assert (np.abs(found[found.row] - expected) <= half * 1.001 + 1e-6).all()
    np.testing.assert_allclose(found.of_point(7), found[found.row][7])


def test_held_in_bytes_the_cosine_is_that_of_what_is_stored(project, monkeypatch):
    for name in ("IN_MEMORY", "ON_DISK"):
        monkeypatch.setattr(f"pipeline.viewer.features.{name}", 7)
    artefacts = Artefacts(project[0])
    words = miniature.Spelling().encode(["a bed in a scene", "a table in a scene"])
    expected, valid, _ = query.scene_features(artefacts, "room0", "fusion")
    exact = query.cosine(expected, valid, words)
    held = stored(artefacts, "room0", "fusion").held()
    assert held.values.element_size() == 1 and not valid.all()
    found = held.cosine(words)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
    np.testing.assert_allclose(found, exact, atol=0.01)
    assert np.nanmean(np.abs(found - exact)) < 0.001 < np.nanstd(exact)
    point = int(np.flatnonzero(valid)[0])
    np.testing.assert_array_equal(stored(artefacts, "room0", "fusion").of_point(point), expected[point])
    np.testing.assert_allclose(held.of_point(point), expected[point], atol=np.abs(expected).max() / 250)


@pytest.mark.parametrize("source", ["fusion", "ensembling"])
def test_means_of_superpoints_are_those_of_their_points(project, room, source):
    artefacts = Artefacts(project[0])
    held = (stored if source == "fusion" else predicted)(artefacts, "room0", source).held()
    words = miniature.Spelling().encode(["a bed in a scene", "a table in a scene", "x"])
    cosine, group = held.cosine(words), room.superpoint.copy()
    group[~held.valid] = 0  # a group that has points without a feature
    cosine[group == 1] = np.nan
    held.valid[group == 1] = False  # and one without any that has
    found = held.means(words, group)
    for index, mean in enumerate(found):
        values = cosine[group == index]
        values = values[np.isfinite(values).all(1)]
        if len(values) == 0:
            assert np.isnan(mean).all()
        else:
            np.testing.assert_allclose(mean, values.mean(0), atol=1e-5)
    assert np.isnan(found[1]).all() and np.isfinite(found[0]).all()


def test_objects_are_those_of_a_query_on_the_command_line(room):
    known = room.features.cosine(
        embeddings(miniature.Spelling(), room._settings.vocabulary, room._settings.text.template)
    )
    np.testing.assert_array_equal(room._objects[0], groups.classes(known, room.superpoint))


@pytest.mark.parametrize("source", ["fusion", "ensembling"])
def test_a_text_is_found_as_on_the_command_line(project, source, monkeypatch):
    monkeypatch.setattr("pipeline.viewer.features.IN_MEMORY", 100)
    folder, params = project
    texts = ["a bed in a scene", "a piece of furniture that provides a place to sleep"]
    room = Room(Artefacts(folder), "room0", params, miniature.Spelling(), source)
    searched = open_scene(Artefacts(folder), "room0", params, miniature.Spelling(), source, Unit.object)
    for asked in texts:  # the bed's name, its gloss
        found, other = room.find(asked), searched.ask(miniature.Spelling(), asked, (), 5, By.both)
        np.testing.assert_array_equal(np.isnan(found.score), np.isnan(other.score))
        assert np.nanmean(np.abs(found.score - other.score)) < 0.002 < 0.05 * np.nanstd(other.score)
    cosine = searched.ask(miniature.Spelling(), texts[1], (), 5, By.cosine).score
    assert np.nanmean(np.abs(cosine - other.score)) > 0.05


def test_a_text_heats_what_it_names_and_not_what_is_not_meant(room):
    heat = room.find("a bed in a scene")
    bed, table = (room.truth == NAMES.index(name) for name in ("bed", "table"))
    known = np.isfinite(heat.score)
    assert heat.score[bed & known].mean() > heat.score[~bed & known].mean() + 0.3
    assert set(room.truth[np.isin(room.superpoint, heat.matches[0].superpoints)]) == {NAMES.index("bed")}
    less = room.find("a bed in a scene", ["a table in a scene"])
    assert np.isnan(less.score[table & known]).mean() > 0.8 > np.isnan(less.score[bed & known]).mean()


def test_the_threshold_leaves_grey_what_is_colder(room):
    heat = room.find("a bed in a scene")
    every, some = room.heat_colours(heat, 0.0), room.heat_colours(heat, 0.7)
    cold = heat.relative < 0.7
    assert (some[cold].max(1) == some[cold].min(1)).all() and (every[cold].max(1) > every[cold].min(1)).any()
    np.testing.assert_array_equal(some[~cold], every[~cold])
    exact = images.heat_over(room.rgb, heat.relative)
    assert np.abs(every.astype(int) - exact).max() <= 6  # lightness and heat are rounded to 256 steps each


def test_a_ray_meets_the_first_surface():
    side = np.stack(np.meshgrid(np.arange(20), np.arange(20)), -1).reshape(-1, 2) * 0.05
    near, far = (np.column_stack([side, np.full(len(side), z)]).astype(np.float32) for z in (1, 0))
    xyz, step = np.concatenate([far, near]), 0.05
    assert hit(xyz, np.array([0.5, 0.5, 3]), np.array([0, 0, -2.0]), step) == len(far) + 10 * 20 + 10
    assert hit(xyz, np.array([0.5, 0.5, -3]), np.array([0, 0, 1.0]), step) == 10 * 20 + 10
    assert hit(xyz, np.array([0.5, 0.5, 3]), np.array([0, 0, 1.0]), step) is None
    assert hit(xyz, np.array([5, 5, 3]), np.array([0, 0, -1.0]), step) is None
    assert 0.03 < spacing(near) < 0.08


def test_a_point_is_described_with_labels_superpoint_weights_and_views(project):
    folder, params = project
    room = Room(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion")
    group = store.open_scene(folder / "data/fusion/room0.zarr")
    bed = int(np.flatnonzero((room.truth == NAMES.index("bed")) & group["valid"][:])[0])
    found = room.describe(bed)
    assert found.truth == "bed" and found.superpoint == room.superpoint[bed]
    assert found.superpoint_points == (room.superpoint == found.superpoint).sum()
    scores = [score for _, score in found.scores]
    assert scores == sorted(scores, reverse=True) and len(scores) == 5
    assert dict(found.said)["fused"] == found.scores[0][0]
    np.testing.assert_allclose([w for _, w in found.weight], group["weight"][bed])
    shown = text.point(found)
    assert found.scores[0][0] in shown and f"Superpoint {found.superpoint} " in shown


def test_views_see_the_point_where_the_projection_says(project):
    folder, params = project
    params = replace(params, projection=replace(params.projection, border=0))
    room = Room(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion")
    room.xyz[:2] = (0, 0, 2), (0, 0, -2)  # the cameras look along z from the origin
    front = room.views(0)
    assert [view.frame.id for view in front] == ["0", "1"] and front[0].distance == 2
    assert (front[0].row, front[0].column) == (12, 16) and room.views(1) == []
    for view in front[:1]:
        view.frame.color.unlink()
    assert [view.frame.id for view in room.views(0)] == ["1"]


def test_the_panel_never_takes_names_for_markup(room):
    heat = room.find("<script>alert(1)</script>")
    assert "<script" not in text.matches(room, "<script>alert(1)</script>", heat)
    assert "&lt;script" in text.problem("<script>")

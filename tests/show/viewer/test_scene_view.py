"""Layers, the heat of a text, clicks and points of the viewer, without a browser."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from anyscene import datasets
from anyscene.errors import StoreError
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.show import palette
from anyscene.show.viewer import panel_html
from anyscene.show.viewer.features import QuantisedFeatures, predicted, stored
from anyscene.show.viewer.index import Index
from anyscene.show.viewer.picking import hit
from anyscene.show.viewer.scene_view import SceneView
from anyscene.show.viewer.thinning import spacing, spread
from anyscene.tasks.query import groups, similarity
from anyscene.tasks.query.session import By, Unit, open_scene
from anyscene.text.glosses import Vocabulary
from tests.builders import miniature

NAMES = datasets.label_set("scannet20").names


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewer")
    return folder, miniature.write(folder, scenes=1, spacing=0.2)


@pytest.fixture(scope="module")
def room(project):
    folder, params = project
    return SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion")


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
    few = SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion", most=50)
    assert len(room.drawn) == len(room.xyz) > 50 >= len(few.drawn) > 40
    np.testing.assert_array_equal(few.drawn, np.unique(few.drawn))
    assert {*few.drawn[few.below(1.0)]} == {point for point in few.drawn if few.xyz[point, 2] <= 1}
    assert few.spacing > room.spacing
    for name in room.layers:
        if name != "PCA of features":
            np.testing.assert_array_equal(few.colours(name), room.colours(name)[few.drawn])
    found, wanted = (one.find("a bed in a scene") for one in (few, room))
    np.testing.assert_allclose(found.score, wanted.score[few.drawn], atol=1e-6)
    # how much scores differ at all, by which groups are ordered, is told by the points that are drawn
    assert found.matches[:3] == wanted.matches[:3] and found.shows[:3] == wanted.shows[:3]


def test_a_text_that_is_not_meant_leaves_out_by_the_points_that_are_drawn(project, room):
    folder, params = project
    few = SceneView(
        Artefacts(folder), "room0", params, miniature.Spelling(), "fusion", most=len(room.xyz) // 2
    )
    table = NAMES.index("table")
    for one in (room, few):
        shown = one.find("a table in a scene").matches[0]
        assert set(one.truth[np.isin(one.superpoint, shown.superpoints)]) == {table}
        left = one.find("a table in a scene", ["a table in a scene, it is"]).matches
        assert shown in left  # what is not closer leaves nothing out
        left = one.find("a bed in a scene", ["a table in a scene"]).matches
        assert all((one.truth[np.isin(one.superpoint, m.superpoints)] != table).any() for m in left)


def test_a_label_layer_shows_the_closest_class_and_grey_without_a_feature(project, room):
    group = store.open_scene(project[0] / "data/projection/dense/room0.zarr")
    prompts = miniature.Spelling().encode(
        [f"a {p} in a scene" if p != "other" else p for p in room.label_set.prompts]
    )
    label = np.where(
        group["count"][:] > 0, (group["feature"][:].astype(np.float32) @ prompts.T).argmax(1), -1
    )
    expected = palette.label_colours(label, room.label_set.colours)
    np.testing.assert_array_equal(room.colours("2D model dense"), expected)
    assert (label < 0).any()


def test_a_class_with_several_prompts_is_shown_once(project, room, tmp_path):
    folder, params = project
    several = replace(params.dataset, label_set=str(miniature.doubled(tmp_path / "several.csv")))
    other = SceneView(
        Artefacts(folder), "room0", replace(params, dataset=several), miniature.Spelling(), "fusion"
    )
    np.testing.assert_array_equal(other.colours("2D model dense"), room.colours("2D model dense"))
    wall = int(np.flatnonzero((room.truth == 0) & room._index.valid)[0])
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
    bare = SceneView(Artefacts(tmp_path), "room0", params, miniature.Spelling())
    assert bare.layers == ("colour",) and bare.source is None
    assert bare.describe(0).scores == () and "Superpoint" not in panel_html.point(bare.describe(0))
    with pytest.raises(StoreError, match=r"room0: neither fused.*dvc repro"):
        bare.find("bed")
    with pytest.raises(StoreError, match="room0: no features of fusion; there are none"):
        SceneView(Artefacts(tmp_path), "room0", params, miniature.Spelling(), "fusion")
    with pytest.raises(StoreError, match="room9: no such scene; imported are room0"):
        SceneView(Artefacts(tmp_path), "room9", params, miniature.Spelling())


def test_networks_have_a_row_for_each_voxel_that_equals_the_points_feature(project):
    artefacts = Artefacts(project[0])
    found = predicted(artefacts, "room0", "ensembling")
    expected, _, _ = similarity.scene_features(artefacts, "room0", "ensembling")
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert len(found.values) < len(expected) == len(found)
    np.testing.assert_allclose(torch.cat([*found.blocks()]), expected, atol=2**-12)
    np.testing.assert_allclose(found.of_point(7), expected[7], atol=2**-12)


@pytest.mark.parametrize("source", ["fusion", "ensembling"])
def test_blocks_are_those_of_the_points_asked_for(project, source, monkeypatch):
    monkeypatch.setattr("anyscene.show.viewer.features.WIDENED", 7)
    monkeypatch.setattr("anyscene.show.viewer.features.READ", 20)
    found = (stored if source == "fusion" else predicted)(Artefacts(project[0]), "room0", source)
    every = torch.cat([*found.blocks()])
    points = np.array([0, 19, 20, 21, 77, len(found) - 1])
    assert torch.equal(torch.cat([*found.blocks(points)]), every[points])
    assert [*found.blocks(points[:0])] == [] and len(found.labels(np.eye(*every.shape[1:]), points[:0])) == 0
    valid = found.valid[points]
    labels = np.where(valid, every[points].argmax(1), -1)
    np.testing.assert_array_equal(found.labels(np.eye(every.shape[1], dtype=np.float32), points), labels)


def test_held_in_bytes_the_cosine_is_that_of_what_is_stored(project, monkeypatch):
    monkeypatch.setattr("anyscene.show.viewer.features.WIDENED", 7)
    words = miniature.Spelling().encode(["a bed in a scene", "a table in a scene"])
    feature, valid, _ = similarity.scene_features(Artefacts(project[0]), "room0", "fusion")
    exact = similarity.cosine(feature, valid, words)[valid]
    held = QuantisedFeatures.empty(*feature[valid].shape)
    held.put(0, torch.from_numpy(feature[valid][:9]))
    held.put(9, torch.from_numpy(feature[valid][9:]))
    found = np.concatenate([block for _, block in held.cosines(words)])
    assert held.values.element_size() == 1 and not valid.all()
    np.testing.assert_allclose(found, exact, atol=0.01)
    assert np.abs(found - exact).mean() < 0.001 < exact.std()
    unit = feature[valid] / np.linalg.norm(feature[valid], axis=1, keepdims=True)
    np.testing.assert_allclose(held[np.arange(len(held))], unit, atol=np.abs(unit).max() / 200)
    empty = QuantisedFeatures.empty(1, feature.shape[1])
    empty.put(0, torch.zeros(1, feature.shape[1]))
    assert (empty[np.array([0])] == 0).all() and all((block == 0).all() for _, block in empty.cosines(words))


@pytest.mark.parametrize("source", ["fusion", "ensembling"])
def test_scores_of_superpoints_are_the_means_of_their_points(project, room, source):
    artefacts, encoder = Artefacts(project[0]), miniature.Spelling()
    features = (stored if source == "fusion" else predicted)(artefacts, "room0", source)
    group = room.superpoint.copy()
    group[~features.valid] = 0  # a superpoint that has points without a feature
    features.valid[group == 1] = False  # and one without any that has
    classes = Vocabulary.of(encoder, room._settings.vocabulary, room._settings.text.template)
    index = Index.of(features, np.arange(len(features)), group, classes)
    words = encoder.encode(["a bed in a scene", "a table in a scene", "x"])
    points, found = index.points(words), index.superpoints(words)
    assert index.count[1] == 0 and np.isnan(found[1]).all() and index.shows[1] == -1
    for one in np.flatnonzero(index.count):
        values = points[group == one]
        values = values[np.isfinite(values).all(1)]
        assert len(values) == index.count[one]
        np.testing.assert_allclose(found[one], values.mean(0), atol=0.002)
    known = similarity.cosine(torch.cat([*features.blocks()]).numpy(), features.valid, classes.name)
    np.testing.assert_array_equal(index.shows, groups.classes(known, group))


@pytest.mark.parametrize("source", ["fusion", "ensembling"])
def test_a_text_is_found_as_on_the_command_line(project, source, monkeypatch):
    monkeypatch.setattr("anyscene.show.viewer.features.WIDENED", 100)
    folder, params = project
    texts = ["a bed in a scene", "a piece of furniture that provides a place to sleep"]
    room = SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), source)
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
    exact = palette.heat_over(room.rgb, heat.relative)
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


def test_points_that_are_drawn_cover_dense_and_sparse_surfaces_alike():
    random = np.random.default_rng(0)
    side = np.concatenate([random.random((45_000, 2)), random.random((5_000, 2)) + [1, 0]])  # of 1 m2 each
    xyz = np.column_stack([side, np.zeros(len(side))]).astype(np.float32)
    drawn = spread(xyz, 1000)
    assert 900 <= len(drawn) <= 1000 and (np.diff(drawn) > 0).all()
    assert (drawn < 45_000).mean() == pytest.approx(0.5, abs=0.03)  # by lot it would be 0.9
    assert spacing(xyz[drawn]) == pytest.approx((2 / len(drawn)) ** 0.5, rel=0.1)
    np.testing.assert_array_equal(spread(xyz, 0), np.arange(len(xyz)))
    np.testing.assert_array_equal(spread(xyz[:7], 7), np.arange(7))


@pytest.mark.parametrize("most", [1, 2, 7])
def test_never_more_points_are_drawn_than_wanted(most):
    random = np.random.default_rng(0)
    far = np.concatenate([random.random((50, 3)) * 0.01, random.random((50, 3)) * 1000])
    for xyz in (far, np.zeros((100, 3)), np.repeat([[0, 0, 0], [5, 5, 5.0]], 50, 0)):
        assert 1 <= len(spread(xyz.astype(np.float32), most)) <= most


def test_a_point_is_described_with_labels_superpoint_weights_and_views(project):
    folder, params = project
    room = SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion")
    group = store.open_scene(folder / "data/fusion/room0.zarr")
    bed = int(np.flatnonzero((room.truth == NAMES.index("bed")) & group["valid"][:])[0])
    found = room.describe(bed)
    assert found.truth == "bed" and found.superpoint == room.superpoint[bed]
    assert found.superpoint_points == (room.superpoint == found.superpoint).sum()
    scores = [score for _, score in found.scores]
    assert scores == sorted(scores, reverse=True) and len(scores) == 5
    assert dict(found.said)["fused"] == found.scores[0][0]
    np.testing.assert_allclose([w for _, w in found.weight], group["weight"][bed])
    shown = panel_html.point(found)
    assert found.scores[0][0] in shown and f"Superpoint {found.superpoint} " in shown


def test_views_see_the_point_where_the_projection_says(project):
    folder, params = project
    params = replace(params, projection=replace(params.projection, border=0))
    room = SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion")
    room.xyz[:2] = (0, 0, 2), (0, 0, -2)  # the cameras look along z from the origin
    front = room.views(0)
    assert [view.frame.id for view in front] == ["0", "1"] and front[0].distance == 2
    assert (front[0].row, front[0].column) == (12, 16) and room.views(1) == []
    for view in front[:1]:
        view.frame.color.unlink()
    assert [view.frame.id for view in room.views(0)] == ["1"]


def test_the_panel_never_takes_names_for_markup(room):
    heat = room.find("<script>alert(1)</script>")
    assert "<script" not in panel_html.matches(room, "<script>alert(1)</script>", heat)
    assert "&lt;script" in panel_html.problem("<script>")

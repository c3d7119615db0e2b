"""Layers, the heat of a text, clicks and points of the viewer, without a browser."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from plyfile import PlyData
from typer.testing import CliRunner

from anyscene import datasets
from anyscene.cli import query
from anyscene.errors import StoreError, TextError
from anyscene.library import feature_cloud, opening
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.scene import Camera, Frame
from anyscene.show import palette
from anyscene.show.viewer import panel_html
from anyscene.show.viewer.page import PICTURE, picture
from anyscene.show.viewer.picking import hit
from anyscene.show.viewer.scene_view import SceneView, Sighting
from anyscene.tasks import sources
from anyscene.tasks.instances import average_precision
from anyscene.tasks.layer import Classes, Scale, label_colours
from anyscene.tasks.point_masks import PointMasks
from anyscene.tasks.query import groups, similarity
from anyscene.tasks.query.index import Index, QuantisedFeatures
from anyscene.tasks.query.session import Session
from anyscene.tasks.query.similarity import By
from anyscene.tasks.surface import Surface, spacing, spread
from anyscene.tasks.task import Texts
from tests.builders import miniature

NAMES = datasets.label_set("scannet20").names
NETWORK = [*miniature.NETWORKS][-1]  # the most refined one


@pytest.fixture(scope="module")
def detailed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewer")
    return folder, miniature.write(folder, scenes=1, spacing=0.2)


@pytest.fixture(scope="module")
def room(detailed):
    folder, params = detailed
    return SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion")


def test_layers_are_those_of_the_pipeline_in_its_order(room, monkeypatch):
    monkeypatch.setattr(average_precision, "SMALLEST", 5)  # points of an object
    assert room.layers == (
        "colour", "labels", "2D model dense", "2D model mask", "fused", "pixel distillation",
        "superpoint distillation", "temporal ensembling", "PCA of features", "superpoints",
        "weight of dense", "weight of mask", "objects",
    )  # fmt: skip
    painted = [room.colours(name) for name in room.layers]
    assert all(p.shape == room.xyz.shape and p.dtype == np.uint8 for p in painted)
    assert len({p.tobytes() for p in painted}) == len(painted)
    assert room.layers[-1] == "objects: names of objects"  # a task's others, once it was asked
    assert isinstance(room.layer("weight of dense").legend, Scale) and room.layer("colour").legend is None
    named = room.layer("objects: names of objects")
    assert isinstance(named.legend, Classes) and {"bed", "table"} <= dict(named.legend.entries).keys()


def test_of_a_large_scene_some_points_are_drawn_and_all_count(detailed, room):
    folder, params = detailed
    few = SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion", most=50)
    assert len(room.drawn) == len(room.xyz) > 50 >= len(few.drawn) > 40
    np.testing.assert_array_equal(few.drawn, np.unique(few.drawn))
    assert {*few.drawn[few.below(1.0)]} == {point for point in few.drawn if few.xyz[point, 2] <= 1}
    assert few.spacing > room.spacing
    for name in room.layers:
        if name != "PCA of features":
            np.testing.assert_array_equal(few.colours(name), room.colours(name)[few.drawn])
    for negative in ((), ["a table in a scene"]):
        found, wanted = (one.ask("a bed in a scene", negative) for one in (few, room))
        np.testing.assert_allclose(found.score, wanted.score[few.drawn], atol=1e-6)
        assert len(found.matches) > 2 and np.isnan(found.score).any()
        assert found.matches == wanted.matches and found.shows == wanted.shows


def test_groups_do_not_depend_on_what_is_drawn_where_not_even_all_are_sampled(detailed, monkeypatch):
    monkeypatch.setattr("anyscene.tasks.query.session.SAMPLE", 60)
    folder, params = detailed
    answers = [
        SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion", most).ask(*asked)
        for asked in (("a bed in a scene",), ("a bed in a scene", ["a table in a scene"]))
        for most in (60, 0, 30)
    ]
    for sampled, every, few in (answers[:3], answers[3:]):
        assert len(every.score) > len(sampled.score) > len(few.score) and len(sampled.matches) > 3
        assert sampled.matches == every.matches == few.matches
        assert sampled.shows == every.shows == few.shows


def test_a_text_that_is_not_meant_leaves_out_what_is_closer_to_it(detailed, room):
    folder, params = detailed
    few = SceneView(
        Artefacts(folder), "room0", params, miniature.Spelling(), "fusion", most=len(room.xyz) // 2
    )
    table = NAMES.index("table")
    for one in (room, few):
        shown = one.ask("a table in a scene").matches[0]
        assert set(one.truth[np.isin(one.superpoint, shown.superpoints)]) == {table}
        left = one.ask("a table in a scene", ["a table in a scene, it is"]).matches
        assert shown in left  # what is not closer leaves nothing out
        left = one.ask("a bed in a scene", ["a table in a scene"]).matches
        assert all((one.truth[np.isin(one.superpoint, m.superpoints)] != table).any() for m in left)


def test_a_label_layer_shows_the_closest_class_and_grey_without_a_feature(detailed, room):
    group = store.open_scene(detailed[0] / "data/projection/dense/room0.zarr")
    prompts = miniature.Spelling().encode(
        [f"a {p} in a scene" if p != "other" else p for p in room.texts.label_set.prompts]
    )
    label = np.where(
        group["count"][:] > 0, (group["feature"][:].astype(np.float32) @ prompts.T).argmax(1), -1
    )
    expected = label_colours(label, room.texts.label_set.colours)
    np.testing.assert_array_equal(room.colours("2D model dense"), expected)
    assert (label < 0).any()


def test_a_class_with_several_prompts_is_shown_once(detailed, room, tmp_path):
    folder, params = detailed
    several = replace(params.dataset, label_set=str(miniature.doubled(tmp_path / "several.csv")))
    other = SceneView(
        Artefacts(folder), "room0", replace(params, dataset=several), miniature.Spelling(), "fusion"
    )
    np.testing.assert_array_equal(other.colours("2D model dense"), room.colours("2D model dense"))
    valid = store.open_scene(folder / "data/fusion/room0.zarr")["valid"][:]
    wall = int(np.flatnonzero((room.truth == 0) & valid)[0])
    assert other.describe(wall).scores == room.describe(wall).scores
    assert other.describe(wall).said == room.describe(wall).said


def test_one_class_alone_is_told_apart_whatever_its_neighbours_colours(room):
    bed = room.truth == NAMES.index("bed")
    shown = room.only("labels", "bed")
    np.testing.assert_array_equal(shown[bed], room.colours("labels")[bed])
    assert (shown[~bed].max(1) == shown[~bed].min(1)).all() and shown[~bed].max() <= 127
    for layer, name in (("labels", "all classes"), ("superpoints", "bed"), ("colour", "bed")):
        np.testing.assert_array_equal(room.only(layer, name), room.colours(layer))
    absent = room.only("labels", "toilet")
    assert (absent.max(1) == absent.min(1)).all() and absent.max() <= 127


@pytest.mark.parametrize("asked", [("\u200b",), ("a bed in a scene", ["\u2800"])])
def test_a_text_without_anything_to_read_is_refused(room, asked):
    with pytest.raises(TextError, match="an empty text means nothing"):
        room.ask(*asked)


def test_a_partly_computed_scene_has_the_layers_that_there_are(detailed, tmp_path):
    folder, params = detailed
    shutil.copytree(folder / "data/scenes", tmp_path / "data/scenes")
    bare = SceneView(Artefacts(tmp_path), "room0", params, miniature.Spelling())
    assert bare.layers == ("colour",) and bare.source is None
    assert bare.describe(0).scores == () and "Superpoint" not in panel_html.point(bare.describe(0))
    with pytest.raises(StoreError, match=r"room0: neither fused.*dvc repro"):
        bare.ask("bed")
    with pytest.raises(StoreError, match="room0: no features of fusion; there are none"):
        SceneView(Artefacts(tmp_path), "room0", params, miniature.Spelling(), "fusion")
    with pytest.raises(StoreError, match="room9: no such scene; imported are room0"):
        SceneView(Artefacts(tmp_path), "room9", params, miniature.Spelling())


def test_networks_have_a_row_for_each_voxel_that_equals_the_points_feature(detailed):
    artefacts = Artefacts(detailed[0])
    found = sources.of_scene(artefacts, "room0", NETWORK)
    cloud = Surface.read(artefacts, "room0").cloud
    expected = sources.network(artefacts, NETWORK).features(cloud)
    assert len(found.values) < len(expected) == len(found)
    np.testing.assert_allclose(torch.cat([*found.blocks()]), expected, atol=1e-6)
    np.testing.assert_allclose(found.of_point(7), expected[7], atol=1e-6)


@pytest.mark.parametrize("source", ["fusion", NETWORK])
def test_blocks_are_those_of_the_points_asked_for(detailed, source, monkeypatch):
    monkeypatch.setattr("anyscene.tasks.features.WIDENED", 7)
    monkeypatch.setattr("anyscene.tasks.features.READ", 20)
    found = sources.of_scene(Artefacts(detailed[0]), "room0", source)
    every = torch.cat([*found.blocks()])
    np.testing.assert_array_equal(every, found.dense())
    points = np.array([0, 19, 20, 21, 77, len(found) - 1])
    assert torch.equal(torch.cat([*found.blocks(points)]), every[points])
    assert [*found.blocks(points[:0])] == [] and len(found.closest(np.eye(*every.shape[1:]), points[:0])) == 0
    valid = found.valid[points]
    labels = np.where(valid, every[points].argmax(1), -1)
    np.testing.assert_array_equal(found.closest(np.eye(every.shape[1], dtype=np.float32), points), labels)


@pytest.mark.parametrize("source", ["fusion", NETWORK])
def test_means_inside_masks_are_those_of_the_points_that_have_a_feature(detailed, source, monkeypatch):
    monkeypatch.setattr("anyscene.tasks.features.WIDENED", 7)
    found = sources.of_scene(Artefacts(detailed[0]), "room0", source)
    mask = np.random.default_rng(0).random((4, len(found))) < 0.3
    mask[1] = False
    mean, count = found.means(PointMasks.of(mask, len(found)))
    for inside, one, points in zip(mask & found.valid, mean, count, strict=True):
        assert points == inside.sum()
        expected = found.dense()[inside].mean(0) if points else 0
        np.testing.assert_allclose(one, expected, atol=1e-5)
    assert count[1] == 0 and found.means(PointMasks.of([], len(found)))[0].shape == (0, mean.shape[1])


def test_an_index_does_not_depend_on_the_blocks_it_is_built_in(detailed, monkeypatch):
    """Blocks of a few points, each with superpoints of its own."""
    artefacts, encoder = Artefacts(detailed[0]), miniature.Spelling()
    classes = Texts.of(detailed[1], encoder).classes
    superpoint = Surface.read(artefacts, "room0").superpoint
    every, text = np.arange(len(superpoint)), encoder.encode(["a bed in a scene"])

    def built(source):
        return Index.of(sources.of_scene(artefacts, "room0", source), superpoint, classes, every)

    for source in ("fusion", NETWORK):
        with monkeypatch.context() as patch:
            patch.setattr("anyscene.tasks.features.WIDENED", 50)
            parts = built(source)
        whole = built(source)
        np.testing.assert_array_equal(parts.count, whole.count)
        np.testing.assert_allclose(parts.superpoints(text), whole.superpoints(text), atol=1e-5)
        np.testing.assert_allclose(parts.sample.scores(text), whole.sample.scores(text), atol=1e-3)


def test_held_in_bytes_the_cosine_is_that_of_what_is_stored(detailed, monkeypatch):
    monkeypatch.setattr("anyscene.tasks.query.index.ROWS", 7)
    words = miniature.Spelling().encode(["a bed in a scene", "a table in a scene"])
    fused = sources.of_scene(Artefacts(detailed[0]), "room0", "fusion")
    feature, valid = fused.dense(), fused.valid
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


@pytest.mark.parametrize("by", By)
@pytest.mark.parametrize("source", ["fusion", NETWORK])
def test_scores_of_superpoints_are_the_means_of_their_points(detailed, room, source, by):
    artefacts, encoder = Artefacts(detailed[0]), miniature.Spelling()
    features = sources.of_scene(artefacts, "room0", source)
    group = room.superpoint.copy()
    group[~features.valid] = 0  # a superpoint that has points without a feature
    features.valid[group == 1] = False  # and one without any that has
    classes = room.texts.classes
    index = Index.of(features, group, classes, np.arange(len(features)))
    words = encoder.encode(["a bed in a scene", "a table in a scene", "x"])
    points, found = index.sample.scores(words, by), index.superpoints(words, by)
    assert index.count[1] == 0 and np.isnan(found[1]).all() and index.shows[1] == -1
    for one in np.flatnonzero(index.count):
        values = points[group == one]
        values = values[np.isfinite(values).all(1)]
        assert len(values) == index.count[one]
        np.testing.assert_allclose(found[one], values.mean(0), atol=0.002)
    known = similarity.cosine(features.dense(), features.valid, classes.name)
    total = np.array([known[(group == one) & features.valid].sum(0) for one in range(len(index.count))])
    np.testing.assert_array_equal(index.shows, np.where(index.count > 0, total.argmax(1), -1))


@pytest.mark.parametrize("source", ["fusion", NETWORK])
def test_a_text_is_found_as_on_the_command_line(detailed, source, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cloud, "load_text_encoder", lambda section: miniature.Spelling())
    monkeypatch.setattr("anyscene.tasks.query.index.ROWS", 100)
    folder, params = detailed
    texts = ["a bed in a scene", "a piece of furniture that provides a place to sleep"]  # its name, its gloss
    room = SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), source)
    found, heat = tmp_path / "q.json", tmp_path / "q.ply"
    asked = ["room0", *texts, "--source", source, "--json", str(found), "--out", str(heat)]
    for negative in ((), ("a table in a scene",)):
        options = [word for one in negative for word in ("--not", one)]
        result = CliRunner().invoke(query.app, [*asked, *options, "--params", str(folder / "params.yaml")])
        assert result.exit_code == 0, result.output
        answers = [room.ask(text, negative) for text in texts]
        record = json.loads(json.dumps([answer.record() for answer in answers]))
        assert json.loads(found.read_text())["queries"] == record and record[0]["matches"]
        vertex = PlyData.read(heat)["vertex"]
        for number, answer in enumerate(answers):
            written = vertex[f"similarity_{number}"]
            np.testing.assert_array_equal(np.nan_to_num(answer.score, nan=-1), written)


@pytest.mark.parametrize("source", ["fusion", NETWORK])
def test_scores_of_points_are_those_of_what_is_stored(detailed, source):
    encoder, artefacts = miniature.Spelling(), Artefacts(detailed[0])
    classes, features = Texts.of(detailed[1], encoder).classes, sources.of_scene(artefacts, "room0", source)
    session = Session.of(Surface.read(artefacts, "room0"), features, classes)
    for text in ("a bed in a scene", "a piece of furniture that provides a place to sleep"):
        found, vector = session.ask(encoder, text).score, encoder.encode([text])[0]
        cosine, general, known = (
            similarity.cosine(features.dense(), features.valid, one)
            for one in (vector, classes.common, classes.name)
        )
        own = cosine - general * (classes.common @ vector)
        exact = (similarity.shares(known) @ classes.likeness(vector) + own) / 2
        np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
        assert np.nanmean(np.abs(found - exact)) < 0.002 < 0.05 * np.nanstd(exact)
    assert np.nanmean(np.abs(cosine - found)) > 0.05


def test_a_text_heats_what_it_names_and_not_what_is_not_meant(room):
    heat = room.ask("a bed in a scene")
    bed, table = (room.truth == NAMES.index(name) for name in ("bed", "table"))
    known = np.isfinite(heat.score)
    assert heat.score[bed & known].mean() > heat.score[~bed & known].mean() + 0.3
    assert set(room.truth[np.isin(room.superpoint, heat.matches[0].superpoints)]) == {NAMES.index("bed")}
    less = room.ask("a bed in a scene", ["a table in a scene"])
    assert np.isnan(less.score[table & known]).mean() > 0.8 > np.isnan(less.score[bed & known]).mean()


def test_without_superpoints_a_text_ranks_what_a_query_ranks(detailed, tmp_path):
    folder, params = detailed
    for part in ("data/scenes", "data/projection"):
        shutil.copytree(folder / part, tmp_path / part)
    source, text = "projection/dense", "a bed in a scene"
    room = SceneView(Artefacts(tmp_path), "room0", params, miniature.Spelling(), source)
    assert room.superpoint is None and "superpoints" not in room.layers
    shutil.copy(folder / "params.yaml", tmp_path)
    cloud = opening.open("room0", source=source, project=tmp_path, encoder=miniature.Spelling())
    found = room.ask(text)
    assert found.matches and found.matches == cloud.session().ask(miniature.Spelling(), text).matches


def test_the_threshold_leaves_grey_what_is_colder(room):
    heat = room.ask("a bed in a scene")
    every, some = room.heat_colours(heat, 0.0), room.heat_colours(heat, 0.7)
    cold = heat.heat < 0.7
    assert (some[cold].max(1) == some[cold].min(1)).all() and (every[cold].max(1) > every[cold].min(1)).any()
    np.testing.assert_array_equal(some[~cold], every[~cold])
    exact = palette.heat_over(room.rgb, heat.heat)
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


def test_a_point_is_described_with_labels_superpoint_weights_and_views(detailed):
    folder, params = detailed
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
    assert (
        found.scores[0][0] in shown
        and f"Superpoint {found.superpoint}, which has {found.superpoint_points:,} points" in shown
    )


def test_views_see_the_point_where_the_projection_says(detailed):
    folder, params = detailed
    params = replace(params, projection=replace(params.projection, border=0))
    room = SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion")
    room.xyz[:2] = (0, 0, 2), (0, 0, -2)  # the cameras look along z from the origin
    front = room.views(0)
    assert [view.frame.id for view in front] == ["0", "1"] and front[0].distance == 2
    assert (front[0].row, front[0].column) == (12, 16) and room.views(1) == []
    for view in front[:1]:
        view.frame.color.unlink()
    assert [view.frame.id for view in room.views(0)] == ["1"]


@pytest.mark.parametrize("resize", ["antialiased", "nearest", "bilinear"])
def test_a_frame_is_shown_as_2d_models_saw_it(detailed, monkeypatch, resize):
    """It is resized as projection.resize says: depth in the search, colours in the picture."""
    folder, params = detailed
    params = replace(params, projection=replace(params.projection, border=0, resize=resize))
    room = SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion")
    room.xyz[0] = (0, 0, 2)
    depth, used = Frame.read_depth, []

    def noted(self, size=None, resize="antialiased"):
        used.append(resize)
        return depth(self, size, resize)

    monkeypatch.setattr(Frame, "read_depth", noted)
    (seen, *_) = room.views(0)
    assert set(used) == {resize}
    rows, columns = np.indices((61, 83))
    image = np.stack([(37 * rows + 101 * columns) % 256] * 3, 2).astype(np.uint8)
    Image.fromarray(image).save(folder / "odd.png")
    seen = replace(seen, frame=replace(seen.frame, color=folder / "odd.png"), row=0, column=0, size=(20, 15))
    read = Image.fromarray(seen.frame.read_color((20, 15), resize))
    expected = np.asarray(read.resize((PICTURE, PICTURE * 15 // 20)))
    assert np.array_equal(picture(seen)[60:, 60:], expected[60:, 60:])  # the ring is around pixel 0, 0


def test_the_panel_never_takes_names_for_markup(room):
    heat = room.ask("<script>alert(1)</script>")
    assert "<script" not in panel_html.matches(heat, "fusion")
    assert "&lt;script" in panel_html.problem("<script>")


def test_the_panel_says_what_one_has_to_know_of_an_answer(room):
    answer = room.ask("a bed")
    plain = panel_html.matches(answer, "fusion")
    assert groups.ALWAYS in plain and "left out" not in plain
    for falls in (True, False):
        matches = tuple(sorted(answer.matches, key=lambda match: match.score, reverse=falls))
        assert matches[0].score != matches[-1].score
        assert (groups.ORDER in panel_html.matches(replace(answer, matches=matches), "fusion")) != falls
    cut = panel_html.matches(replace(answer, left_out="<b>nd of it"), "fusion")
    assert "its last 11 characters are left out, from &#x27;&lt;b&gt;nd of it" in cut
    nothing = replace(answer, matches=(), shows=(), through=())
    assert groups.ALWAYS not in panel_html.matches(nothing, "fusion")


def test_names_of_frames_and_classes_are_no_markup_either(room):
    """Every text that a point is described with."""
    found = room.describe(int(room.drawn[0]))
    odd = "<b>"
    frame = Frame(odd, Path("0.png"), None, 1000.0, Camera(np.eye(3), np.eye(4), 4, 3))
    camera = Sighting(frame, 0, 0, (4, 3), 1.0, "antialiased")
    shown = panel_html.point(
        replace(
            found,
            truth=odd,
            views=(camera,),
            said=((odd, odd),),
            scores=((odd, 1.0),),
            weight=((odd, 1.0),),
        )
    )
    assert shown.count("&lt;b&gt;") >= 6 and not re.search(r"<b>(?!Point)", shown)


@pytest.mark.parametrize(
    ("resize", "seen"),
    [("antialiased", [1]), ("bilinear", [1]), ("nearest", [0])],
)
def test_views_read_depth_as_the_stage_projection_does(detailed, tmp_path, resize, seen):
    """Of four columns of readings two are left: by the corner of a pixel the first and the third, by its
    centre the second and the fourth. One point lies at the depth of the former, one at that of the latter."""
    folder, params = detailed
    Image.fromarray(np.full((2, 4), (2000, 4000, 2000, 4000), np.uint16)).save(tmp_path / "depth.png")
    Image.fromarray(np.zeros((2, 4, 3), np.uint8)).save(tmp_path / "color.png")
    camera = Camera(np.array([[1.0, 0, 1.5], [0, 1, 0.5], [0, 0, 1]]), np.eye(4), 4, 2)
    frame = Frame("f", tmp_path / "color.png", tmp_path / "depth.png", 1000.0, camera)
    shutil.copytree(folder / "data/scenes", tmp_path / "data/scenes")
    store.note(tmp_path / "data/scenes/room0.zarr", frames=[frame.to_attributes(tmp_path)])
    values = replace(params.projection, width=2, height=1, border=0, resize=resize)
    params = replace(params, projection=values, dataset=replace(params.dataset, root=str(tmp_path)))
    room = SceneView(Artefacts(tmp_path), "room0", params, miniature.Spelling())
    room.xyz[:2] = (0, 0, 2), (0, 0, 4)
    assert [point for point in (0, 1) if room.views(point)] == seen


def test_a_scene_is_open_at_four_fifths_of_its_height(detailed):
    """Between the lowest and the highest half of a percent, without strays."""
    folder, params = detailed
    view = SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion")
    view.xyz = np.zeros((1002, 3), np.float32)
    view.xyz[:, 2] = np.linspace(2, 12, 1002)
    view.drawn = np.array([0, 400, 1001])
    # 5.005 of 1001 steps from either end: 2.05 and 11.95
    assert view.open_height() == pytest.approx(2.05 + 0.8 * 9.9, abs=1e-4)
    assert view.below(2.0).tolist() == [0] and view.below(6.1).tolist() == [0, 1]
    assert [side.tolist() for side in view.bounds()] == [[0, 0, 2], [0, 0, 12]]
    view.xyz[7] = 0, 0, 900  # a stray
    assert view.open_height() == pytest.approx(2.05 + 0.8 * 9.9, abs=0.03)
    assert view.bounds()[1].tolist() == [0, 0, 12]
    view.xyz = np.zeros((0, 3), np.float32)
    assert view.open_height() == 0.8
    assert [side.tolist() for side in view.bounds()] == [[0, 0, 0], [1, 1, 1]]


def test_heat_is_shown_from_the_threshold_on_and_other_classes_in_half_their_grey(detailed):
    folder, params = detailed
    room = SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion")
    answer = room.ask("a bed in a scene")
    heat = answer.heat
    grey = np.rint(room.rgb @ [0.299, 0.587, 0.114])
    threshold = float(heat[heat > 0].mean())
    found = room.heat_colours(answer, threshold)
    hot = heat >= threshold
    assert hot.any() and not hot.all()
    dark = 40 + 0.45 * grey[:, None]
    assert np.abs(found[~hot] - dark[~hot]).max() <= 0.51
    level = np.rint(heat * 255) / 255
    expected = dark + (palette.heat(level) - dark) * np.sqrt(level)[:, None]
    assert np.abs(found[hot] - expected[hot]).max() <= 0.51
    bed = room.truth == NAMES.index("bed")
    shown = room.only("labels", "bed")
    np.testing.assert_array_equal(shown[~bed], np.repeat(grey[~bed, None] // 2, 3, 1))


def test_the_weight_of_a_2d_model_is_that_of_its_column(detailed):
    folder, params = detailed
    room = SceneView(Artefacts(folder), "room0", params, miniature.Spelling(), "fusion")
    group = store.open_scene(folder / "data/fusion/room0.zarr")
    for column, model in enumerate(("dense", "mask")):
        values = room.layer(f"weight of {model}").values
        expected = np.where(group["valid"][:], group["weight"][:, column].astype(np.float32), np.nan)
        np.testing.assert_array_equal(values, expected[room.drawn])
    layer = room.layer("weight of mask")
    assert (layer.legend.low, layer.legend.high, layer.name) == ("0", "1", "weight/mask")

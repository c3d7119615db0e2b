"""The stages superpoints, projection and fusion, run as a user runs them, with made-up 2D models."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from anyscene.errors import StoreError
from anyscene.fusion import fuse, fuse_scenes, superpoint_means
from anyscene.lifting import project_scenes
from anyscene.lifting import projection as lifting
from anyscene.lifting.superpoints import segment_mesh
from anyscene.project import parameters, store
from anyscene.project.freshness import Freshness
from anyscene.project.layout import Artefacts
from anyscene.segmenters.precomputed import image_index
from anyscene.segmenters.protocol import CaptionMap
from anyscene.tasks import features
from stages import fusion, projection, scenes, superpoints
from tests.builders.axes import Dense
from tests.builders.capture import write_scan, write_scans
from tests.builders.files import tree_hash
from tests.builders.project import Project
from tests.twins import released_code

pytestmark = pytest.mark.integration

VOCABULARY = ("wall", "floor", "chair")


class Encoder:
    """Texts of a three-dimensional space, one axis for each word of the vocabulary."""

    name, width = "axes", 3

    def encode(self, texts):
        rows = [[float(name in text) for name in VOCABULARY] for text in texts]
        return np.array(rows, np.float32).reshape(-1, 3)


@dataclass
class Mask:
    """Sees a wall in the lower half of every image, nothing above."""

    name: str = "mask"
    shown: set = field(default_factory=set)  # vocabularies

    def describe(self, images, vocabulary):
        self.shown.add(vocabulary)
        caption = np.full(images.shape[1:3], -1, np.int32)
        caption[12:] = 0
        return [CaptionMap(caption, ("a white wall in a scene",))] * len(images)


@pytest.fixture
def two_kinds(project, monkeypatch):
    write_scans(project.folder / "raw", train=["a"], val=["b"])
    project.change(
        dataset={"root": "raw", "name": "small"},
        projection={"width": 32, "height": 24, "border": 1, "tolerance": 0.25},
        segmenters={"names": ["dense", "mask"], "batch": 2},
        superpoints={"method": "mesh", "min_vertices": 5},
        vocabulary=list(VOCABULARY),
    )
    models = {"dense": Dense(width=3, left=2, right=1), "mask": Mask()}  # a chair on the left, else floor
    monkeypatch.setattr(project_scenes, "load_segmenter", lambda name, params: models[name])
    for module in (project_scenes, fuse_scenes):
        monkeypatch.setattr(module, "load_text_encoder", lambda section: Encoder())
    Path("data/capability").mkdir(parents=True)
    for name, capability in (("dense", [0.5, 0.1, 0.9]), ("mask", [0.8, 0.6, 0.1])):
        write_capability(name, capability)
    return models


def write_capability(model, capability, vocabulary=VOCABULARY):
    record = {"model": model, "vocabulary": list(vocabulary), "capability": capability}
    Path(f"data/capability/{model}.json").write_text(json.dumps(record))


def edit(section, **values):
    Project(Path.cwd()).change(**{section: values})


def edit_vocabulary(vocabulary):
    Project(Path.cwd()).change(vocabulary=list(vocabulary))


def run(stage, *arguments, code=0):
    result = CliRunner().invoke(stage.app, list(arguments))
    assert result.exit_code == code, result.output
    return result.stderr


def run_all():
    """What each stage says that it did, in their order."""
    commands = [(scenes,), (superpoints,), (projection, "dense"), (projection, "mask"), (fusion,)]
    said = [run(*command).splitlines() for command in commands]
    return [next(line for line in lines if " computed, " in line) for lines in said]


def computed(lines):
    return [int(line.split(": ")[1].split()[0]) for line in lines]


def test_superpoints(two_kinds):
    run(scenes)
    run(superpoints)
    source, group = store.open_scene("data/scenes/a.zarr"), store.open_scene("data/superpoints/a.zarr")
    expected = segment_mesh(source["xyz"][:], source["face"][:], min_vertices=5)
    assert (group["superpoint"][:] == expected).all()
    assert group["size"][:].tolist() == np.bincount(expected).tolist()
    edit("superpoints", method="identity")
    run(superpoints)
    assert store.open_scene("data/superpoints/a.zarr")["size"][:].tolist() == [1] * 36
    edit("superpoints", method="points", neighbours=4)
    run(superpoints)
    assert store.open_scene("data/superpoints/a.zarr")["size"][:].tolist() == [36]


def test_projection_of_both_kinds_of_models(two_kinds):
    run(scenes)
    run(projection, "dense")
    run(projection, "mask")
    xyz = store.open_scene("data/scenes/a.zarr")["xyz"][:]
    dense, mask = (store.open_scene(f"data/projection/{model}/a.zarr") for model in ("dense", "mask"))
    assert dense["feature"].shape == (36, 3) and dense["feature"].dtype == np.float16
    assert dense["count"].dtype == np.uint16 and dense["count"][:].max() == 3
    # The cameras stand at x = 0.5 to 0.7 and look along y at a wall that reaches from x = 0 to 1, z = 0 to 1.
    seen = dense["count"][:] > 0
    assert seen.sum() > 20
    assert (dense["feature"][:][seen & (xyz[:, 0] == 0)] == [0, 0, 1]).all()
    assert (dense["feature"][:][seen & (xyz[:, 0] == 1)] == [0, 1, 0]).all()
    assert ((mask["count"][:] > 0) == (seen & (xyz[:, 2] < 0.5))).all()
    assert (mask["feature"][:][mask["count"][:] > 0] == [1, 0, 0]).all()
    assert not Path("data/projection/mask/a.zarr/feature").exists()  # formed of what is said once
    assert mask.attrs["captions"] == ["a white wall in a scene"] and mask["embedding"][:].tolist() == [
        [1, 0, 0]
    ]
    assert mask["times"][:].tolist() == mask["count"][:][mask["count"][:] > 0].tolist()


@pytest.mark.parametrize(
    ("nouns", "again", "shown"), [("own", 0, {()}), ("vocabulary", 2, {VOCABULARY, VOCABULARY[:2]})]
)
def test_another_vocabulary_is_shown_only_to_models_that_look_at_it(two_kinds, nouns, again, shown):
    """A mask model with labels of its own looks at it where captions do not say these."""
    edit("segmenters", nouns=nouns)
    run_all()
    write_capability("dense", [0.5, 0.1], VOCABULARY[:2])
    write_capability("mask", [0.5, 0.1], VOCABULARY[:2])
    edit_vocabulary(VOCABULARY[:2])
    assert computed(run_all()) == [0, 0, 0, again, 2]  # scenes, superpoints, dense, mask, fusion
    edit("text", template="a photo of a {}")
    assert computed(run_all()) == [0, 0, 0, 2, 2]
    assert two_kinds["mask"].shown == shown
    assert two_kinds["dense"].shown == {()}


def test_what_captions_say_is_part_of_the_key_of_masks_alone(two_kinds):
    run_all()
    edit("segmenters", nouns="vocabulary")
    assert computed(run_all()) == [0, 0, 0, 2, 2]


def test_fusion_writes_what_the_library_computes(two_kinds):
    run_all()
    group = store.open_scene("data/fusion/b.zarr")
    rule = {"method": "capability", "tau": 0.05, "normalise": True, "models": ["dense", "mask"]}
    assert group.attrs["fusion"] == rule
    projected = [store.open_scene(f"data/projection/{model}/b.zarr") for model in ("dense", "mask")]
    fused = fuse(
        np.stack([p["feature"][:] for p in projected]),
        np.stack([p["count"][:] > 0 for p in projected]),
        np.array([[0.5, 0.1, 0.9], [0.8, 0.6, 0.1]]),
        np.eye(3),
    )
    for name, expected in fused._asdict().items():
        np.testing.assert_allclose(group[name][:], expected, atol=2e-2 if name == "feature" else 1e-3)
    # a chair for the dense model, a wall for the mask model: .9/2 + .5/2 against .1/2 + .8/2
    both = (fused.prediction == [2, 0]).all(1)
    assert both.any()
    np.testing.assert_allclose(group["weight"][:][both, 0], 1 / (1 + np.exp(-0.25 / 1.15 / 0.05)), atol=1e-3)
    superpoint = store.open_scene("data/superpoints/b.zarr")["superpoint"][:]
    mean, has = superpoint_means(fused.feature, fused.valid, superpoint)
    np.testing.assert_allclose(group["superpoint_feature"][:], mean, atol=1e-2)
    assert group["superpoint_valid"][:].tolist() == has.tolist()
    assert {name: group[name].dtype.str[1:] for name in group} == {
        "feature": "f2", "valid": "b1", "weight": "f2", "prediction": "u1",
        "superpoint_feature": "f2", "superpoint_valid": "b1",
    }  # fmt: skip


@pytest.mark.parametrize("point_features", [True, False])
def test_a_point_that_is_its_own_superpoint_is_stored_once(two_kinds, point_features):
    edit("projection", border=9)  # so that not all points are seen
    run_all()
    group = store.open_scene("data/fusion/a.zarr")
    feature, valid = group["feature"][:], group["valid"][:]
    assert valid.any() and not valid.all()
    edit("superpoints", method="identity")
    edit("fusion", point_features=point_features)
    run_all()
    group = store.open_scene("data/fusion/a.zarr")
    assert "feature" not in group
    np.testing.assert_array_equal(group["superpoint_feature"][:], feature)
    np.testing.assert_array_equal(group["superpoint_valid"][:], valid)
    for found, expected in zip(store.fused_points(Path("data/fusion/a.zarr")), (feature, valid), strict=True):
        np.testing.assert_array_equal(found, expected)
    shown = features.stored(Artefacts(Path.cwd()), "a", "fusion", "fusion")
    np.testing.assert_array_equal(shown.dense(), feature)
    np.testing.assert_array_equal(shown.valid, valid)


def test_without_point_features_the_rest_is_the_same(two_kinds):
    run_all()
    names = ("valid", "weight", "prediction", "superpoint_feature", "superpoint_valid")
    with_points = [store.open_scene("data/fusion/a.zarr")[name][:] for name in names]
    edit("fusion", point_features=False)
    assert computed([run(fusion).splitlines()[-1]]) == [2]
    group = store.open_scene("data/fusion/a.zarr")
    assert sorted(group) == sorted(names)
    for name, before in zip(names, with_points, strict=True):
        np.testing.assert_array_equal(group[name][:], before)
    path = Path("data/fusion/a.zarr")
    with pytest.raises(StoreError, match=r"a\.zarr: holds only features of superpoints; set fusion\.point_f"):
        store.fused_points(path)


def test_only_what_depends_on_a_change_is_computed_again(two_kinds):
    assert computed(run_all()) == [2, 2, 2, 2, 2]
    before = {stage: tree_hash(Path("data") / stage) for stage in ("superpoints", "projection", "fusion")}
    assert computed(run_all()) == [0, 0, 0, 0, 0]
    edit("fusion", tau=0.1)
    assert computed(run_all()) == [0, 0, 0, 0, 2]
    edit("fusion", tau=0.05)
    pose = np.loadtxt("raw/a/pose/1.txt")
    pose[0, 3] += 0.01
    np.savetxt("raw/a/pose/1.txt", pose)
    assert computed(run_all()) == [1, 0, 1, 1, 2]
    pose[0, 3] -= 0.01
    np.savetxt("raw/a/pose/1.txt", np.round(pose, 6))
    weights = Path("models/demo/mask/model.safetensors")
    weights.parent.mkdir(parents=True)
    weights.write_text("other")
    assert computed(run_all()) == [1, 0, 1, 2, 2]
    write_capability("dense", [0.5, 0.1, 0.8])
    assert computed(run_all()) == [0, 0, 0, 0, 2]
    write_capability("dense", [0.5, 0.1, 0.9])
    edit("projection", border=2)
    assert computed(run_all()) == [0, 0, 2, 2, 2]
    edit("projection", border=1)
    weights.unlink()
    weights.parent.rmdir()
    run_all()
    assert before["superpoints"] == tree_hash(Path("data/superpoints"))


def test_where_nothing_changed_no_model_is_loaded(two_kinds, monkeypatch):
    run_all()
    for module, name in (
        (project_scenes, "load_segmenter"),
        (project_scenes, "load_text_encoder"),
        (fuse_scenes, "load_text_encoder"),
    ):
        monkeypatch.setattr(module, name, lambda *of: pytest.fail("loaded"))
    project_scenes.models.cache_clear()
    assert computed(run_all()) == [0, 0, 0, 0, 0]


def test_one_more_scan_costs_a_model_that_ran_elsewhere_one_scan(two_kinds, monkeypatch):
    run(scenes)
    folder, index = Path("models/demo/dense"), Path("data/frames/index.csv")
    folder.mkdir(parents=True)
    (folder / "precomputed.json").write_text('{"format": 1, "kind": "features"}')
    index.parent.mkdir(parents=True)

    def answer(*names):
        rows = []
        for name in names:
            key = name[0] * 32
            (folder / f"{key}.npz").write_text(name)
            shown = parameters.load().projection
            state = image_index.state(store.keys(Path("data/scenes"))[name], shown)
            rows.append((key, name, "0", state))
        image_index.write(rows, index)

    answer("a", "b")
    assert computed([run(projection, "dense").splitlines()[-1]]) == [2]
    write_scan(Path("raw"), "c")
    Path("raw/splits/train.txt").write_text("a\nc\n")
    run(scenes)
    answer("a", "b", "c")
    assert computed([run(projection, "dense").splitlines()[-1]]) == [1]
    (folder / f"{'b' * 32}.npz").write_text("another answer")
    assert computed([run(projection, "dense").splitlines()[-1]]) == [1]


def test_memory_decides_on_blocks_but_not_on_bytes(two_kinds):
    run(scenes)
    run(projection, "dense")
    whole = Path("data/projection/dense").rename("whole")
    edit("runtime", memory_gib=5 * 24 / 2**30)  # five points at a time
    run(projection, "dense")
    assert tree_hash(Path("data/projection/dense")) == tree_hash(whole)


def test_a_capability_of_another_vocabulary_is_an_error(two_kinds):
    run_all()
    write_capability("mask", [0.1, 0.2, 0.3], ("wall", "floor", "table"))
    assert "mask.json: not the capability over this vocabulary" in run(fusion, code=1).replace("\n", " ")
    Path("data/capability/mask.json").unlink()
    assert "run the stage capability" in run(fusion, code=1).replace("\n", " ")


def test_a_scan_whose_frames_see_nothing_fails_alone(two_kinds):
    pose = np.eye(4)
    pose[:3, 3] = [0, 9, 0]
    for i in range(3):
        np.savetxt(f"raw/a/pose/{i}.txt", pose)
    run(scenes)
    message = run(projection, "dense", code=1)
    assert "1 of 2 scenes failed" in message and "a: no view sees any point" in message
    assert store.scene_ids(Path("data/projection/dense")) == ["b"]


def test_a_scan_that_may_fail_is_left_out_of_what_follows(two_kinds):
    edit("runtime", failures=1)
    Path("raw/a/pose/0.txt").write_text("1 2 3\n" * 4)  # a frame is left out, and the scan stays
    run_all()
    assert store.scene_ids(Path("data/fusion")) == ["a", "b"]
    pose = np.eye(4)
    pose[:3, 3] = [0, 9, 0]
    for i in range(3):
        np.savetxt(f"raw/a/pose/{i}.txt", pose)
    said = run_all()
    assert said[-1] == "fusion: 0 computed, 1 unchanged, 1 removed"
    assert store.scene_ids(Path("data/superpoints")) == ["a", "b"]  # which needs no frame
    cause = "no view sees any point"
    for stage in ("projection/dense", "projection/mask", "fusion"):
        folder = Path("data") / stage
        assert store.scene_ids(folder) == ["b"] and list(store.failed(folder)) == ["a"]
        assert cause in store.failed(folder)["a"]
    (Path("raw/a/mesh.ply")).write_bytes(b"ply\n")  # now the first stage fails on it
    assert computed(run_all()) == [0, 0, 0, 0, 0]
    for stage in ("scenes", "superpoints", "projection/dense", "projection/mask", "fusion"):
        assert store.scene_ids(Path("data") / stage) == ["b"]
        assert store.failed(Path("data") / stage)["a"].startswith("scenes: ")


def test_a_scene_in_which_a_model_finds_nothing_has_no_feature_of_it(two_kinds, monkeypatch):
    """Its frames see the points, so that its poses are right: another model's features are fused alone."""
    nothing = CaptionMap(np.full((24, 32), -1, np.int32), ())
    monkeypatch.setattr(Mask, "describe", lambda self, images, vocabulary: [nothing] * len(images))
    run_all()
    for scene in ("a", "b"):
        group = store.open_scene(f"data/projection/mask/{scene}.zarr")
        assert not group["count"][:].any() and not group["feature"][:].any()
        fused = store.open_scene(f"data/fusion/{scene}.zarr")
        seen = store.open_scene(f"data/projection/dense/{scene}.zarr")["count"][:] > 0
        assert np.array_equal(fused["valid"][:], seen) and seen.any()
        assert (fused["weight"][:][seen] == [1, 0]).all() and (fused["prediction"][:][:, 1] == 255).all()


def test_fusion_in_blocks_writes_the_same_bytes(two_kinds, monkeypatch):
    edit("superpoints", method="identity")
    run_all()
    whole = Path("data/fusion").rename("whole")
    monkeypatch.setattr(
        sys.modules[fuse.__module__], "BLOCK_ELEMENTS", 5 * 2 * 3
    )  # five of the 36 points at a time
    run(fusion)
    assert tree_hash(Path("data/fusion")) == tree_hash(whole)


def test_texts_are_part_of_the_keys(two_kinds):
    run_all()
    edit("text", template="this is a {}")
    assert computed(run_all()) == [0, 0, 0, 2, 2]
    edit("segmenters", nouns="vocabulary")
    assert computed(run_all()) == [0, 0, 0, 2, 2]
    Project(Path.cwd()).change(vocabulary=[*VOCABULARY, "lamp"])
    assert computed([run(projection, model).splitlines()[-1] for model in ("dense", "mask")]) == [0, 2]


def test_classes_are_encoded_in_the_template(two_kinds, monkeypatch):
    asked = []

    class Asked(Encoder):
        def encode(self, texts):
            asked.extend(texts)
            return super().encode(texts)

    run_all()
    monkeypatch.setattr(fuse_scenes, "load_text_encoder", lambda section: Asked())
    edit("text", template="one {} here")
    run(fusion)
    assert asked == [f"one {name} here" for name in VOCABULARY]


@pytest.mark.parametrize(
    ("key", "value"),
    [("method", "add"), ("method", "linear"), ("method", "max"), ("tau", 0.5), ("normalise", False)],
)
def test_every_setting_of_fusion_changes_what_is_written(two_kinds, key, value):
    run_all()
    before = store.open_scene("data/fusion/a.zarr")["feature"][:]
    edit("fusion", **{key: value})
    run(fusion)
    assert not np.array_equal(store.open_scene("data/fusion/a.zarr")["feature"][:], before)


def test_the_other_class_keeps_the_feature_of_the_first_model(two_kinds):
    """What the first model calls so keeps its feature: here what it would call a floor."""
    Project(Path.cwd()).change(vocabulary=["wall", "chair"])
    for name, capability in (("dense", [0.5, 0.9]), ("mask", [0.8, 0.1])):
        write_capability(name, capability, ("wall", "chair"))
    run_all()
    before = store.open_scene("data/fusion/a.zarr")
    before = {name: before[name][:] for name in ("weight", "prediction", "feature")}
    edit("capability", other="floor")
    assert computed([run(fusion).splitlines()[-1]]) == [2]
    after = store.open_scene("data/fusion/a.zarr")
    other = after["prediction"][:][:, 0] == 2
    assert other.any() and not other.all() and (before["prediction"][:, 0] < 2).any()
    assert (after["weight"][:][other] == [1, 0]).all() and (before["weight"][other] != [1, 0]).any()
    assert np.array_equal(after["weight"][:][~other], before["weight"][~other])


@pytest.mark.parametrize(("key", "value"), [("width", 4), ("height", 4), ("tolerance", 0.01), ("border", 5)])
def test_every_setting_of_projection_changes_what_is_written(two_kinds, key, value):
    depth = Image.fromarray(np.full((24, 32), 1900, np.uint16))  # 5 % before the wall
    depth.save("raw/a/depth/0.png")
    edit("scenes", contradictions="warn")
    run(scenes)
    run(projection, "dense")
    before = store.open_scene("data/projection/dense/a.zarr")["count"][:]
    edit("projection", **{key: value})
    run(projection, "dense")
    assert not np.array_equal(store.open_scene("data/projection/dense/a.zarr")["count"][:], before)


@pytest.mark.parametrize("resize", ["nearest", "bilinear"])
def test_frames_are_resized_as_the_setting_says(two_kinds, monkeypatch, resize):
    """What the model sees, and the depth in which points are found; and the images are other ones."""
    run(scenes)
    seen, depths, describe = {}, {}, Dense.describe
    visible = lifting.visible_pixels

    def shown(self, images, names):
        seen.setdefault(how, []).append(images)
        return describe(self, images, names)

    def found(xyz, camera, depth, **options):
        depths.setdefault(how, []).append(depth)
        return visible(xyz, camera, depth, **options)

    monkeypatch.setattr(Dense, "describe", shown)
    monkeypatch.setattr(lifting, "visible_pixels", found)
    edit("runtime", workers=1)
    for how in ("antialiased", resize):
        edit("projection", width=16, height=12, resize=how)
        assert computed([run(projection, "dense").splitlines()[-1]]) == [2]
    color = np.asarray(
        Image.open("raw/a/color/0.png" if Path("raw/a/color/0.png").exists() else "raw/a/color/0.jpg")
    )
    depth = np.asarray(Image.open("raw/a/depth/0.png"))
    assert not np.array_equal(seen[resize][0], seen["antialiased"][0])
    rule = released_code.nearest(color, (16, 12)) if resize == "nearest" else released_code.halved(color)
    assert np.array_equal(seen[resize][0][0], rule)
    kept = depth[::2, ::2] if resize == "nearest" else depth[1::2, 1::2]
    assert np.allclose(depths[resize][0], kept / 1000)


@pytest.mark.parametrize("point_features", [True, False])
@pytest.mark.parametrize("superpoint", ["mesh", "identity"])
def test_features_by_axes_are_read_as_others_are(two_kinds, point_features, superpoint):
    edit("superpoints", method=superpoint)
    edit("fusion", point_features=point_features)
    edit("projection", border=9)  # so that not all points are seen
    run_all()
    paths = [Path("data/projection/dense/a.zarr"), Path("data/fusion/a.zarr")]
    before = [{name: array[:] for name, array in store.open_scene(path).items()} for path in paths]
    edit("projection", store="axes")
    assert computed(run_all()) == [0, 0, 2, 2, 2]
    for path, stored in zip(paths, before, strict=True):
        now = store.open_scene(path)
        assert stored.keys() <= set(now)
        for name, array in stored.items():
            np.testing.assert_allclose(now[name][:].astype(float), array.astype(float), atol=2e-2)
        seen = stored["valid" if "valid" in stored else "count"] > 0
        for name in stored.keys() & {"feature", "superpoint_feature"}:
            if len(stored[name]) == len(seen):
                assert not (path / name).exists() and (path / f"{name}_place").exists()
                assert not seen.all() and not now[name][:][~seen].any()
    if point_features or superpoint == "identity":
        feature, valid = store.fused_points(paths[1])
        assert feature.shape == (36, 3) and feature[valid].any(1).all()


@pytest.mark.parametrize(("batch", "shown"), [(1, [1, 1, 1]), (2, [2, 1]), (16, [3])])
def test_frames_are_shown_so_many_at_a_time(two_kinds, monkeypatch, batch, shown):
    """And the features do not show it."""
    run(scenes)
    run(projection, "dense")
    whole, seen = Path("data/projection/dense").rename("whole"), []
    describe = Dense.describe
    monkeypatch.setattr(
        Dense,
        "describe",
        lambda self, images, names: seen.append(len(images)) or describe(self, images, names),
    )
    edit("segmenters", batch=batch)
    run(projection, "dense")
    assert seen == 2 * shown  # of two scans
    assert tree_hash(Path("data/projection/dense")) == tree_hash(whole)


@pytest.mark.parametrize(
    ("model", "captioner", "workers"),
    [
        ("lseg", "colour", 1),  # it takes the GPU
        ("dense", "colour", 5),  # the demo's runs on the CPU
        ("mask", "colour", 5),
        ("mask", "blip", 1),  # its captioner takes the GPU
        ("features", "blip", 5),  # answers in files
        ("masks", "colour", 5),
        ("masks", "blip", 1),
    ],
)
def test_only_what_a_gpu_computes_runs_in_one_process_beside_it(
    project, monkeypatch, model, captioner, workers
):
    for kind in ("features", "masks"):
        folder = Path("models/demo") / kind
        folder.mkdir(parents=True)
        described = {"format": 1, "kind": kind, "labels": ["wall"]}
        (folder / "precomputed.json").write_text(json.dumps(described))
    Path("data/scenes").mkdir(parents=True)
    project.change(segmenters={"names": [model], "captioner": captioner}, runtime={"workers": 5})
    asked = []
    monkeypatch.setattr(project_scenes, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(project_scenes.per_scene, "run", lambda *_, **given: asked.append(given["workers"]))
    params = parameters.load(Path("params.yaml"))
    project_scenes.project_scenes(model, params, Freshness("code"))
    assert asked == [workers]
    monkeypatch.setattr(project_scenes, "choose_device", lambda name: torch.device("cpu"))
    project_scenes.project_scenes(model, params, Freshness("code"))
    assert asked == [workers, 5]

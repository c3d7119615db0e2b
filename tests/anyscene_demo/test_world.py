"""A world of two tiny rooms on disk, and how surfaces get their labels."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets.rgbd import Rgbd
from anyscene_demo import world
from anyscene_demo.generated import Parts
from anyscene_demo.render import Renderer
from anyscene_demo.rooms import CLASSES, assemble, shell_model
from tests.builders.files import tree_hash

pytestmark = pytest.mark.integration

SCENES = ("train_000", "val_000")


@pytest.fixture(scope="module")
def dataset(tiny_world):
    return Rgbd(tiny_world, "demo")


def test_the_reader_understands_it(dataset):
    assert dataset.splits() == {"train_000": "train", "val_000": "val"}
    for name in SCENES:
        scene, truth = dataset.read(name), dataset.read_truth(name)
        assert len(scene.frames) == 3 and len(scene.face) > 500
        assert truth.label.shape == truth.instance.shape == (len(scene.xyz),)
        assert truth.label.min() >= -1 and truth.label.max() < len(CLASSES)
        for frame in scene.frames:
            assert frame.read_color().shape == (36, 48, 3)
            assert dataset.read_frame_truth(name, frame.id).shape == (36, 48)
            depth = frame.read_depth()
            assert (depth > 0).mean() > 0.5 and depth.max() < 7


@pytest.mark.integration
def test_two_processes_write_the_same_bytes(tiny_world, tiny_section, tmp_path):
    world.make_world(tiny_section, tmp_path / "again", workers=2)
    files = [
        {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
        for root in (tiny_world, tmp_path / "again")
    ]
    assert len(files[0]) > 30 and files[0] == files[1]


def projected(scene, frame):
    """Rows of the vertices in view, their pixel (row, column) and camera depth."""
    local = (np.c_[scene.xyz, np.ones(len(scene.xyz))] @ np.linalg.inv(frame.camera.pose).T)[:, :3]
    pixel = local @ frame.camera.intrinsics.T
    ahead = np.flatnonzero(local[:, 2] > 0.1)
    column, row = np.rint(pixel[ahead, :2] / pixel[ahead, 2:]).astype(int).T
    inside = (row >= 0) & (row < frame.camera.height) & (column >= 0) & (column < frame.camera.width)
    return ahead[inside], row[inside], column[inside], local[ahead[inside], 2]


def test_a_world_that_fails_leaves_the_one_before(tiny_world, tiny_section, tmp_path, monkeypatch):
    shutil.copytree(tiny_world, tmp_path / "world")
    before = tree_hash(tmp_path / "world")

    def fail(*given):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(world, "write_capture", fail)
        with pytest.raises(MemoryError):
            world.make_world(tiny_section, tmp_path / "world", workers=1)
    assert tree_hash(tmp_path / "world") == before
    assert [path.name for path in tmp_path.iterdir()] == ["world"]
    (tmp_path / "world/of_another_section").mkdir()
    world.make_world(tiny_section, tmp_path / "world", workers=1)
    assert tree_hash(tmp_path / "world") == before


@pytest.mark.parametrize("name", SCENES)
def test_vertices_agree_with_frames(dataset, name):
    scene, truth = dataset.read(name), dataset.read_truth(name)
    same, hidden_free = [], []
    for frame in scene.frames:
        vertex, row, column, z = projected(scene, frame)
        reading = frame.read_depth()[row, column]
        measured = reading > 0
        hidden_free.append(z[measured] > reading[measured] - 0.15)
        seen = measured & (np.abs(z - reading) < 0.05)
        pixel = dataset.read_frame_truth(name, frame.id)[row[seen], column[seen]].astype(int)
        same.append(np.where(pixel == 255, -1, pixel) == truth.label[vertex[seen]])
    assert len(np.concatenate(same)) > 500
    assert np.concatenate(hidden_free).mean() > 0.95
    assert np.concatenate(same).mean() >= 0.9


@pytest.mark.parametrize("name", SCENES)
def test_frame_instances_are_of_one_class(tiny_world, dataset, name):
    for path in sorted((tiny_world / name / "truth" / "frame_instance").iterdir()):
        instance = np.asarray(Image.open(path))
        label = dataset.read_frame_truth(name, path.stem)
        for i in np.unique(instance[instance > 0]):
            assert len(np.unique(label[instance == i])) == 1


@pytest.fixture(scope="module")
def known():
    parts = Parts()
    parts.box((1, 1, 0), (2, 2, 1), (200, 60, 40))
    shell = shell_model(np.random.default_rng(0), "zoo", np.array([3.0, 4.0, 2.5]), tiled=False)
    box = parts.model("box", "cabinet", "zoo")
    return Renderer(assemble([(box, CLASSES.index("cabinet"), 7)], shell))


@pytest.mark.parametrize(
    "low, high, label, instance",
    [
        ((1.1, 1.1, 1.0), (1.9, 1.9, 1.0), "cabinet", 7),
        ((2.0, 1.1, 0.1), (2.0, 1.9, 0.9), "cabinet", 7),
        ((0.1, 2.2, 0.0), (2.9, 3.9, 0.0), "floor", -1),
        ((0.0, 0.1, 0.1), (0.0, 3.9, 2.4), "wall", -1),
        ((0.1, 0.1, 2.5), (2.9, 3.9, 2.5), None, -1),
    ],
)
def test_points_on_known_surfaces(known, low, high, label, instance):
    xyz = np.random.default_rng(0).uniform(low, high, (200, 3))
    labels, instances = world.surface_labels(known, xyz)
    assert (labels.dtype, instances.dtype) == (np.int16, np.int32)
    assert (labels == (-1 if label is None else CLASSES.index(label))).all()
    assert (instances == instance).all()


def test_surface_samples_lie_on_their_triangles_and_leave_no_gaps():
    rng = np.random.default_rng(0)
    vertex, face = rng.uniform(0, 1, (12, 3)), np.arange(12).reshape(-1, 3)
    vertex[:3] *= 1e-3  # a triangle smaller than the spacing
    point, owner = world.sample_surface(vertex, face, 0.05)
    assert set(owner) == set(range(4)) and (owner == 0).sum() == 1
    for f in range(4):
        a, b, c = vertex[face[f]]
        mine = point[owner == f]
        weights = np.linalg.lstsq(np.stack([b - a, c - a], 1), (mine - a).T, rcond=None)[0].T
        np.testing.assert_allclose(a + weights @ np.stack([b - a, c - a]), mine, atol=1e-9)
        assert weights.min() > -1e-9 and weights.sum(1).max() < 1 + 1e-9
        anywhere = rng.dirichlet((1, 1, 1), 200) @ vertex[face[f]]
        gap = np.linalg.norm(anywhere[:, None] - mine[None], axis=-1).min(1)
        assert gap.max() < 4 * 0.05 and gap.mean() < 0.05


def test_surface_samples_are_the_same_every_time(known):
    one, two = (world.sample_surface(known.mesh.vertex, known.mesh.face, 0.1)[0] for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("class_name", ["wall", "chair", "picture"])
def test_object_views_show_what_was_asked_for(class_name):
    index = world.OBJECT_CLASSES.index(class_name)
    view, again = (world.object_view((1, 2, 3), "zoo", index, size=48) for _ in range(2))
    assert view.mask.mean() > 0.04 and (view.label[view.mask] == index).all()
    np.testing.assert_array_equal(view.rgb, again.rgb)


def test_bulk_views_are_written_as_arrays(tmp_path):
    world.render_rooms(0, "zoo", 1, 2, (32, 24), tmp_path, "rooms", workers=1)
    world.render_objects(0, "zoo", 2, tmp_path, "objects", workers=1)
    assert np.load(tmp_path / "rooms_rgb.npy").shape == (1, 2, 24, 32, 3)
    assert np.load(tmp_path / "rooms_depth.npy").max() > 0.5
    assert np.load(tmp_path / "objects_class.npy").tolist() == [0, 1]
    assert np.load(tmp_path / "objects_mask.npy").any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    ("key", "value", "seen"),
    [
        ("seed", 3, lambda asked: {seed[1] for seed, *_ in asked} == {3}),
        ("train_rooms", 3, lambda asked: [split for _, split, *_ in asked].count("zoo") == 3),
        ("val_rooms", 2, lambda asked: [split for _, split, *_ in asked].count("evaluation") == 2),
        ("views", 5, lambda asked: {how[0] for *_, how in asked} == {5}),
        ("width", 64, lambda asked: {how[1] for *_, how in asked} == {64}),
        ("height", 40, lambda asked: {how[2] for *_, how in asked} == {40}),
    ],
)
def test_every_setting_reaches_the_rooms(tiny_section, tmp_path, monkeypatch, key, value, seen):
    asked = []

    def views(seed, split, kind, *how):
        asked.append((seed, split, how))
        return [None] * 4

    monkeypatch.setattr(world, "room_views", views)
    monkeypatch.setattr(world, "write_capture", lambda folder, *parts: None)
    world.make_world(replace(tiny_section, **{key: value}), tmp_path / "world", workers=1)
    assert seen(asked)
    assert sorted((tmp_path / "world/splits").iterdir()) == [
        tmp_path / "world/splits/train.txt",
        tmp_path / "world/splits/val.txt",
    ]

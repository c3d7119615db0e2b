import numpy as np
import pytest
import zarr

from anyscene.errors import StoreError
from anyscene.project import store
from anyscene.project.artefact import FEATURE_BITS
from anyscene.scene import Camera, Frame, LeftOut, Scene
from tests.builders.files import tree_hash


@pytest.mark.parametrize("dtype", ["f4", "f2", "u1", "u2", "i2", "i4", "b1"])
@pytest.mark.parametrize("shape", [(0, 3), (1,), (7,), (70001,), (3, 5, 4), (2500, 384)])
def test_round_trip(tmp_path, dtype, shape):
    array = np.random.default_rng(0).integers(0, 2 if dtype == "b1" else 100, shape).astype(dtype)
    store.write(store.create(tmp_path / "a.zarr", "k"), "x", array)
    found = store.open_scene(tmp_path / "a.zarr")["x"][:]
    assert found.dtype == array.dtype and np.array_equal(found, array)


def test_every_array_is_one_file(tmp_path):
    group = store.create(tmp_path / "a.zarr", "k")
    store.write(group, "x", np.random.default_rng(0).normal(size=(60000, 30)))
    files = [p for p in (tmp_path / "a.zarr" / "x").rglob("*") if p.is_file()]
    assert sorted(p.name for p in files) == ["c.0.0", "zarr.json"]
    assert group["x"].chunks[0] < 60000 <= group["x"].shards[0]


def test_own_chunks(tmp_path):
    group = store.create(tmp_path / "a.zarr", "k")
    array = np.arange(10 * 6).reshape(10, 6)
    store.write(group, "x", array, chunks=(4, 6))
    assert group["x"].chunks == (4, 6) and np.array_equal(group["x"][:], array)


def test_bytes_are_deterministic(tmp_path):
    for name in "ab":
        group = store.create(tmp_path / name, "k")
        store.write(group, "x", np.random.default_rng(0).normal(size=(9000, 64)).astype(np.float16))
        group.attrs["split"] = "val"
    assert tree_hash(tmp_path / "a") == tree_hash(tmp_path / "b")


def test_attributes(tmp_path):
    store.create(tmp_path / "a.zarr", "k")
    attributes = dict(zarr.open(tmp_path / "a.zarr", mode="r").attrs)
    assert attributes == {"key": "k", "format": store.FORMAT, "software": store.SOFTWARE}
    assert store.key(tmp_path / "a.zarr") == "k" and store.keys(tmp_path) == {"a": "k"}


def test_missing_artefact(tmp_path):
    with pytest.raises(StoreError, match=r"a\.zarr: no artefact here; run the stage"):
        store.open_scene(tmp_path / "a.zarr")
    with pytest.raises(
        StoreError, match=r"none: no such folder; run the stage that writes it \(`dvc repro`\)"
    ):
        store.scene_ids(tmp_path / "none")


def test_foreign_group(tmp_path):
    zarr.create_group(tmp_path / "a.zarr")
    with pytest.raises(StoreError, match="not an artefact of this project"):
        store.open_scene(tmp_path / "a.zarr")
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match="not an artefact of this project"):
        store.key(tmp_path / "b.zarr")


def test_other_format(tmp_path):
    group = store.create(tmp_path / "a.zarr", "k")
    group.attrs["format"] = store.FORMAT + 1
    with pytest.raises(StoreError, match=f"format {store.FORMAT + 1}, this version reads {store.FORMAT}"):
        store.open_scene(tmp_path / "a.zarr")


def test_altered_attributes_are_refused_by_whoever_reads_them(tmp_path):
    path = tmp_path / "a.zarr"
    store.create(path, "k").attrs["split"] = "val"
    store.note(path, given="g")
    store.note(path, made_by="m")
    assert store.open_scene(path).attrs["split"] == "val"
    file = path / "zarr.json"
    file.write_text(file.read_text().replace('"val"', '"vam"'))
    for read in (store.open_scene, store.key, lambda path: store.split_ids(path.parent, "val")):
        with pytest.raises(StoreError, match=r"a\.zarr: damaged, its attributes were altered; remove"):
            read(path)


def test_an_attribute_that_is_gone_is_named_with_the_remedy(tmp_path):
    """Older artefacts have no digest that would tell."""
    path = tmp_path / "room.zarr"
    store.create(path, "k").attrs["frames"] = [{"id": "0"}]
    for read, name in (
        (store.geometry_keys, "geometry"),
        (store.splits, "split"),
        (lambda folder: store.split_ids(folder, "val"), "split"),
        (lambda folder: store.open_scene(path).attrs["captions"], "captions"),
    ):
        with pytest.raises(StoreError, match=rf"room\.zarr: damaged, '{name}' is gone from its attributes"):
            read(tmp_path)
    with pytest.raises(StoreError, match=r"room\.zarr: damaged, a frame lacks or has something else"):
        store.read_frames(store.open_scene(path), tmp_path)


@pytest.mark.parametrize("content", ["[]", '{"attributes": null}', '{"attributes": 3}', "3"])
def test_what_is_no_artefact_has_no_attributes(tmp_path, content):
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "zarr.json").write_text(content)
    with pytest.raises(StoreError, match="not an artefact of this project"):
        store.key(tmp_path / "b.zarr")


def test_scene_ids_are_sorted_and_whole(tmp_path):
    for name in ("b.zarr", "a.zarr", ".c.zarr", "d"):
        (tmp_path / name).mkdir()
    assert store.scene_ids(tmp_path) == ["a", "b"]


def test_stored_features_keep_their_direction(tmp_path):
    rng = np.random.default_rng(0)
    feature = rng.normal(size=(2000, 384)).astype(np.float32) * rng.uniform(0.01, 3, (2000, 1))
    group = store.create(tmp_path / "a.zarr", "k")
    store.write(group, "feature", feature.astype(np.float16), keep_bits=FEATURE_BITS)
    found = group["feature"][:].astype(np.float64)
    cosine = (found * feature).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(feature, axis=1)
    assert cosine.min() >= 0.9999
    store.write(group, "exact", feature.astype(np.float16))
    assert group["feature"].nbytes_stored() < 0.8 * group["exact"].nbytes_stored()


def test_features_are_rounded_to_the_nearest_and_halves_to_even(tmp_path):
    group, step = store.create(tmp_path / "a.zarr", "k"), 2.0**-FEATURE_BITS
    values = np.array([1 + step / 2, 1 + 3 * step / 2, 1 + 0.6 * step, -1 - 0.4 * step], np.float16)
    store.write(group, "feature", values, keep_bits=FEATURE_BITS)
    assert group["feature"][:].tolist() == [1, 1 + 2 * step, 1 + step, -1]


@pytest.mark.parametrize("bits", range(1, 10))
def test_every_half_is_rounded_to_the_nearest(tmp_path, bits):
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    value = halves[np.abs(halves) <= 32768]
    group = store.create(tmp_path / "a.zarr", "k")
    store.write(group, "feature", value, keep_bits=bits)
    found, value = group["feature"][:].astype(float), value.astype(float)
    exponent = np.maximum(np.frexp(value)[1], -13)  # below, f2 is subnormal and evenly spaced
    step = 2.0 ** (exponent - 1 - bits)
    assert (np.abs(found - value) <= step / 2).all() and (found == np.round(value / step) * step).all()
    assert (np.signbit(found) == np.signbit(value)).all()


def test_split_ids(tmp_path):
    for name, split in (("a", "train"), ("b", "val"), ("c", "val")):
        store.create(tmp_path / f"{name}.zarr", "k").attrs["split"] = split
    assert store.split_ids(tmp_path, "train") == ["a"] and store.split_ids(tmp_path, "val") == ["b", "c"]


def test_every_scene_trains_without_a_training_split(tmp_path):
    for name in "ab":
        store.create(tmp_path / f"{name}.zarr", "k").attrs["split"] = "val"
    assert store.split_ids(tmp_path, "train") == store.split_ids(tmp_path, "val") == ["a", "b"]


@pytest.mark.parametrize("length", [0, 1, 999, 1000, 5300])
@pytest.mark.parametrize("block", [1, 300, 9999])
def test_appended_rows_give_the_bytes_of_a_whole_write(tmp_path, monkeypatch, length, block):
    monkeypatch.setattr(store, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(store, "SHARD_BYTES", 6100)
    array = np.random.default_rng(0).normal(size=(length, 3)).astype(np.float32)
    store.write(store.create(tmp_path / "a.zarr", "k"), "x", array.astype(np.float16), keep_bits=6)
    group = store.create(tmp_path / "b.zarr", "k")
    with store.Appending(group, "x", array.shape, np.float16, keep_bits=6) as rows:
        for start in range(0, length, block):
            rows.add(array[start : start + block])
    assert tree_hash(tmp_path / "a.zarr") == tree_hash(tmp_path / "b.zarr")
    files = [p for p in (tmp_path / "b.zarr" / "x").glob("c.*") if p.is_file()]
    assert len(files) == -(-length // 996) if length else not files


def test_appending_too_few_or_too_many_rows_is_an_error(tmp_path):
    group = store.create(tmp_path / "a.zarr", "k")
    with pytest.raises(StoreError, match="3 rows for a length of 4"):
        with store.Appending(group, "x", (4,), np.int32) as rows:
            rows.add(np.arange(3))
    with pytest.raises(StoreError, match="more rows than its length of 4"):
        with store.Appending(group, "y", (4,), np.int32) as rows:
            rows.add(np.arange(5))


@pytest.mark.parametrize("changed", ["xyz", "normal", "face"])
def test_the_geometry_key_is_of_points_normals_and_faces(tmp_path, changed):
    arrays = {
        "xyz": np.eye(3, dtype=np.float32),
        "normal": np.eye(3, dtype=np.float32),
        "face": np.array([[0, 1, 2]], np.int32),
    }
    for name, values in (("a", arrays), ("b", arrays | {changed: arrays[changed][:, ::-1]})):
        rgb = np.zeros((3, 3), np.uint8)
        scene = Scene(name, values["xyz"], rgb, values["normal"], values["face"], (), "val", "test")
        store.write_scene(store.create(store.scene_path(tmp_path, name), name), scene, tmp_path)
    keys = store.geometry_keys(tmp_path)
    assert keys["a"] != keys["b"]


def test_a_scene_that_is_not_there_is_told_the_nearest_ids(tmp_path):
    def said(scene):
        with pytest.raises(StoreError) as raised:
            store.open_imported(tmp_path, scene)
        return str(raised.value)

    assert said("a") == "a: no such scene; imported are none"
    for name in ("hall", "hut", "kitchen", "loft", "office_1"):
        store.create(tmp_path / f"{name}.zarr", "key")
    assert said("a") == "a: no such scene; imported are hall, hut, kitchen, loft, office_1"
    store.create(tmp_path / "office_2.zarr", "key")
    listed = (
        said("office_9").removeprefix("office_9: no such scene; of 6 imported the nearest are ").split(", ")
    )
    assert set(listed[:2]) == {"office_1", "office_2"} and len(listed) == 5


def test_a_scene_is_read_as_it_was_written(tmp_path):
    rng, world = np.random.default_rng(0), np.diag([1000.0, 1000, 1000, 1])
    camera = Camera(np.array([[30.0, 0, 4], [0, 31, 3], [0, 0, 1]]), np.eye(4), 9, 7)
    frame = Frame("7", tmp_path / "raw/a/color/7.png", tmp_path / "raw/a/depth/7.png", 5000.0, camera)
    cloud = (rng.random((5, 3), np.float32), rng.integers(0, 256, (5, 3), np.uint8))
    cloud += (rng.random((5, 3), np.float32), np.array([[0, 1, 2], [2, 3, 4]], np.int32))
    lost, said = (LeftOut("8", "no pose"),), ("moved to the origin", "turned")
    scene = Scene("a", *cloud, (frame,), "val", "mine", lost, world, said)
    path = store.scene_path(tmp_path, "a")
    store.write_scene(store.create(path, "k"), scene, tmp_path / "raw")
    moved = store.read_scene(path, tmp_path / "elsewhere")
    for name in ("xyz", "rgb", "normal", "face", "world"):
        assert np.array_equal(getattr(moved, name), getattr(scene, name)), name
        assert getattr(moved, name).dtype == getattr(scene, name).dtype
    for name in ("id", "split", "dataset", "lost", "remarks"):
        assert getattr(moved, name) == getattr(scene, name), name
    (found,) = moved.frames
    assert (found.id, found.color, found.depth) == (
        "7",
        tmp_path / "elsewhere/a/color/7.png",
        tmp_path / "elsewhere/a/depth/7.png",
    )
    assert np.array_equal(found.camera.intrinsics, camera.intrinsics) and found.depth_scale == 5000
    attributes = store.open_scene(path).attrs
    assert (attributes["units"], attributes["up"]) == ("m", "z")  # for people, and for other programs

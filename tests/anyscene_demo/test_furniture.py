"""The committed furniture pack, and packs of hand-made models."""

import hashlib
from collections import defaultdict

import numpy as np
import pytest

from anyscene_demo import furniture, generated
from anyscene_demo.furniture import TEXTURE_SIZE, FurnitureError, Model
from anyscene_demo.rooms import CLASSES

# Metres: least and greatest height, and greatest extent on the floor.
PLAUSIBLE = {
    "bathtub": (0.4, 1.2, 2.2),
    "bed": (0.4, 1.6, 2.6),
    "bookshelf": (0.5, 2.5, 2.2),
    "cabinet": (0.3, 2.6, 2.6),
    "chair": (0.4, 1.4, 1.8),
    "counter": (0.7, 1.1, 2.6),
    "curtain": (1.5, 2.6, 2.5),
    "desk": (0.6, 2.0, 2.6),
    "door": (1.9, 2.3, 2.0),
    "otherfurniture": (0.1, 2.6, 2.6),
    "refrigerator": (0.8, 2.1, 1.2),
    "shower curtain": (1.5, 2.2, 2.0),
    "sink": (0.15, 2.4, 2.0),
    "sofa": (0.5, 1.2, 3.6),
    "table": (0.3, 1.2, 2.8),
    "toilet": (0.5, 1.0, 0.95),
    "window": (0.5, 2.5, 2.6),
}

# These lost an outer part in the conversion.
OFF_CENTRE = {"blendswap-cc-0/bed3/bed3", "blendswap-cc-by/foldingChair/foldingChair"}


@pytest.fixture(scope="module")
def models():
    return furniture.load()


def made(name, split, seed, low):
    rng = np.random.default_rng(seed)
    vertex = rng.uniform(0, 1, (5, 3)) * (1.2, 0.5, 2) + low
    palette = rng.integers(0, 256, (20, 3), np.uint8)
    return Model(
        name=name,
        class_name="table",
        split=split,
        creator="A. Maker",
        licence="CC0-1.0",
        vertex=vertex.astype(np.float32),
        face=np.array([(0, 1, 2), (1, 2, 3), (2, 3, 4)], np.int32),
        uv=np.where(np.arange(3)[:, None, None] == 1, 0, rng.uniform(0, 3, (3, 3, 2))).astype(np.float32),
        texture=np.array([0, -1, 1], np.int32),
        colour=rng.integers(0, 256, (3, 3), np.uint8),
        textures=palette[rng.integers(0, 20, (2, TEXTURE_SIZE, TEXTURE_SIZE))],
    )


def test_every_model_has_a_class_a_creator_and_a_free_licence(models):
    assert len(models) > 250
    assert {m.class_name for m in models} <= set(CLASSES)
    assert {m.split for m in models} == {"zoo", "evaluation"}
    assert all(m.creator.strip() for m in models)
    assert {m.licence for m in models} <= {"CC0-1.0", "CC-BY-3.0", "CC-BY-3.0-US"}


def test_pack_is_small():
    assert furniture.PACK.stat().st_size <= 15 * 2**20


def test_attribution_lists_every_model(models):
    assert furniture.PACK.with_name("ATTRIBUTION.md").read_text() == furniture.attribution(list(models))
    assert all(f"| {m.name} | {m.class_name} |" in furniture.attribution(list(models)) for m in models)


def test_no_model_is_in_both_splits(models):
    names, shapes = defaultdict(set), defaultdict(set)
    for m in models:
        names[m.name].add(m.split)
        place = ((m.vertex - m.vertex.min(0)) / m.size).round(3).tobytes()
        shapes[hashlib.sha256(place + m.face.tobytes()).hexdigest()].add(m.split)
    assert len(names) == len(models)
    assert all(len(splits) == 1 for splits in shapes.values())


@pytest.mark.parametrize("split", ["zoo", "evaluation"])
def test_every_class_has_members_in_each_split(models, split):
    members = {m.class_name for m in models if m.split == split} | set(generated.FAMILIES)
    assert members == set(CLASSES) - {"wall", "floor"}


def test_sizes_are_plausible(models):
    for m in models:
        least, greatest, extent = PLAUSIBLE[m.class_name]
        assert least <= m.size[2] <= greatest and m.size[:2].max() <= extent, (m.name, m.size)
        # Decimation and dropped transparent parts move the outermost vertices a little.
        middle = np.abs(m.vertex[:, :2].min(0) + m.vertex[:, :2].max(0)) / 2
        assert middle.max() < 0.08 or m.name in OFF_CENTRE, m.name
        assert m.vertex[:, 2].min() > -0.05, m.name


def test_indices_are_in_range(models):
    for m in models:
        assert m.face.min() >= 0 and m.face.max() < len(m.vertex), m.name
        assert m.texture.min() >= -1 and m.texture.max() < len(m.textures), m.name
        assert np.isfinite(m.vertex).all() and np.isfinite(m.uv).all(), m.name


def test_pack_round_trip(tmp_path):
    given = [made("one", "zoo", 0, (0, 0, 0)), made("two", "evaluation", 1, (-3, 2, 0.7))]
    furniture.write_pack(given, tmp_path / "pack.npz")
    read = furniture.load(tmp_path / "pack.npz")
    assert [(m.name, m.class_name, m.split, m.creator, m.licence) for m in read] == [
        (m.name, m.class_name, m.split, m.creator, m.licence) for m in given
    ]
    for a, b in zip(given, read, strict=True):
        np.testing.assert_allclose(b.vertex, a.vertex, atol=a.size.max() / 65535 + 1e-5)
        np.testing.assert_allclose(b.uv, a.uv, atol=2e-3)
        for part in ("face", "texture", "colour", "textures"):
            np.testing.assert_array_equal(getattr(b, part), getattr(a, part))


def test_same_models_give_the_same_bytes(tmp_path):
    given = [made("one", "zoo", 0, (0, 0, 0))]
    for name in ("a.npz", "b.npz"):
        furniture.write_pack(given, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_missing_pack_says_what_to_do(tmp_path):
    with pytest.raises(FurnitureError, match=r"none\.npz.*commands\.furniture"):
        furniture.load(tmp_path / "none.npz")


def test_missing_library_says_what_to_do(tmp_path):
    with pytest.raises(FurnitureError, match="sweethome3d-furniture"):
        furniture.convert(tmp_path, pack=tmp_path / "pack.npz")

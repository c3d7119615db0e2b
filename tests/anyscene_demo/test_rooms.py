"""Furnished rooms: nothing collides, everybody can get in, every class turns up."""

import numpy as np
import pytest

from anyscene_demo import rooms, world

KINDS = rooms.KINDS


def make(seed, split, kind):
    return rooms.generate(np.random.default_rng(seed), split, kind)


@pytest.fixture(scope="module", params=[(s, k) for s in ("zoo", "evaluation") for k in KINDS], ids=str)
def room(request):
    return make([9, 4], *request.param)


def meets(low, high, placed):
    return bool((low < placed.high).all() and (high > placed.low).all())


def test_boxes_do_not_overlap(room):
    for i, a in enumerate(room.placed):
        assert not any(meets(a.low, a.high, b) for b in room.placed[:i])


def test_boxes_are_those_of_the_mesh_and_inside_the_room(room):
    for placed in room.placed:
        corner = room.mesh.vertex[room.mesh.face[room.mesh.instance == placed.instance]].reshape(-1, 3)
        np.testing.assert_allclose([corner.min(0), corner.max(0)], [placed.low, placed.high], atol=1e-5)
        assert (placed.low[:2] >= -1e-5).all() and (placed.high <= room.size + 1e-5).all()
        assert placed.low[2] >= -0.05  # some library models sink in a little


def test_the_way_in_is_free(room):
    doors = [p for p in room.placed if p.model.class_name == "door"]
    assert doors
    for door in doors:
        thin = int(np.argmin((door.high - door.low)[:2]))
        inward = 1 if door.centre[thin] < room.size[thin] / 2 else -1
        low, high = door.centre.copy(), door.centre.copy()
        low[1 - thin] -= 0.35
        high[1 - thin] += 0.35
        low[2], high[2] = 0, 2
        low[thin], high[thin] = sorted((door.centre[thin], door.centre[thin] + 0.9 * inward))
        others = [p for p in room.placed if p.model.class_name != "door"]
        assert not any(meets(low, high, p) for p in others)


def test_labels_of_the_mesh_are_those_of_the_models(room):
    for placed in room.placed:
        label = room.mesh.label[room.mesh.instance == placed.instance]
        assert (label == rooms.CLASSES.index(placed.model.class_name)).all()
    shell = room.mesh.label[room.mesh.instance == 0]
    assert sorted(shell) == [0] * 8 + [1] * 2 + [255] * 2


def test_models_are_of_the_asked_split(room):
    assert len({p.model.split for p in room.placed}) == 1


def test_same_seed_same_room():
    one, two, other = (make(seed, "zoo", "bedroom") for seed in (3, 3, 4))
    for part in ("vertex", "face", "uv", "colour", "label", "instance", "textures"):
        np.testing.assert_array_equal(getattr(one.mesh, part), getattr(two.mesh, part))
    assert one.mesh.vertex.shape != other.mesh.vertex.shape


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("split, count", [("train", 40), ("val", 12)])
def test_every_class_is_in_the_default_rooms(seed, split, count):
    missing = set(rooms.CLASSES[2:19])
    for index in range(count):
        place = (world.WORLD, seed, list(world.SPLITS).index(split), index)
        room = make(list(place), world.SPLITS[split], KINDS[index % len(KINDS)])
        missing -= {p.model.class_name for p in room.placed}
        if not missing:
            break
    assert not missing

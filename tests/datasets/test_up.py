"""Which way is up, by cameras and by the surfaces of rooms of boxes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anyscene.datasets import placement, up
from anyscene.datasets.imports.source_frame import OPENGL
from anyscene.datasets.placement import Said
from anyscene.scene import Camera, Frame, Scene, moved
from tests.builders.wall import rolled

ROOM = np.array([5.0, 4.0, 2.5])
FURNITURE = (  # corner and size in metres
    ((0.2, 0.3, 0), (2.0, 1.5, 0.5)),
    ((3.0, 2.5, 0), (1.2, 0.8, 0.7)),
    ((0.0, 3.4, 0), (0.6, 0.6, 1.8)),
)
STEP = 0.08  # metres between points
Z = np.array([0.0, 0.0, 1.0])


def faces(corner, size, inward, left_out=()):
    """(xyz, normal) of the six faces of a box as points; axis and side (0, 1) of those that are left out."""
    found = []
    for axis in range(3):
        one, other = (a for a in range(3) if a != axis)
        grids = [np.arange(STEP / 2, size[a], STEP) for a in (one, other)]
        for side in (0, 1):
            if (axis, side) in left_out:
                continue
            xyz = np.zeros((len(grids[0]) * len(grids[1]), 3))
            xyz[:, one], xyz[:, other] = (grid.ravel() for grid in np.meshgrid(*grids))
            xyz[:, axis] = side * size[axis]
            normal = np.zeros_like(xyz)
            normal[:, axis] = (1 - 2 * side) * (1 if inward else -1)
            found.append((xyz + corner, normal))
    return found


def scene(parts, poses=()):
    xyz, normal = (np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True))
    rgb, face = np.zeros((len(xyz), 3), np.uint8), np.zeros((0, 3), np.int32)
    frames = tuple(
        Frame(str(i), None, None, 1.0, Camera(np.eye(3), pose, 1, 1)) for i, pose in enumerate(poses)
    )
    return Scene("room", xyz, rgb, normal, face, frames, "val", "test")


def furnished(poses=()):
    """A room without a ceiling."""
    parts = faces((0, 0, 0), ROOM, True, {(2, 1)})
    for corner, size in FURNITURE:
        parts += faces(corner, size, False, {(2, 0)})
    return scene(parts, poses)


def empty(poses=()):
    """A room with a ceiling and nothing in it."""
    return scene(faces((0, 0, 0), ROOM, True), poses)


def facade():
    """A wall of 10 x 6 m that faces -y, with bays."""
    parts = faces((0, 0, 0), (10, 3, 6), False, {(0, 0), (0, 1), (1, 1), (2, 0), (2, 1)})
    for x in (1, 4, 7):
        for z in (0.5, 3.5):
            parts += faces((x, -0.6, z), (1.5, 0.6, 1.6), False, {(1, 1)})
    return parts


def looking(*angles):
    """Cameras turned by so many degrees: about the vertical, down, and about their own axis."""
    poses = []
    for yaw, pitch, roll in angles:
        pose = rolled(yaw=yaw)
        turn = Rotation.from_euler("xz", [-pitch, roll], degrees=True).as_matrix()
        pose[:3, :3] = pose[:3, :3] @ turn
        poses.append(pose @ OPENGL)
    return np.array(poses)


AROUND = [(40 * i, 10 + 5 * (i % 3), 0) for i in range(9)]
UNLEVEL = [(yaw, pitch, 25 * (-1) ** i) for i, (yaw, pitch, _) in enumerate(AROUND)]
ON_THE_SIDE = [(yaw, pitch, 90) for yaw, pitch, _ in AROUND]
TURNS = [Rotation.from_rotvec(v).as_matrix() for v in ([0, 0, 0], [2, 0, 0], [-1, 2, 0.5], [0.3, -0.4, 2])]


def lying(room, turn):
    step = np.eye(4)
    step[:3, :3] = turn
    step[:3, 3] = [1, -2, 3]
    return replace(room.moved(step), world=np.eye(4))  # it was written so


def degrees(found, expected):
    return np.degrees(np.arccos(np.clip(found.direction @ expected, -1, 1)))


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize(
    "angles", [(), AROUND, UNLEVEL, ON_THE_SIDE], ids=["none", "level", "unlevel", "side"]
)
def test_a_furnished_room_tells(turn, angles):
    found = up.estimate(lying(furnished(looking(*angles)), turn))
    assert degrees(found, turn @ Z) < 0.1
    assert found.by == ("surfaces and cameras" if angles else "surfaces")


@pytest.mark.parametrize("turn", TURNS[1:])
def test_an_empty_room_does_not_tell_without_cameras(turn):
    room = lying(empty(), turn)
    assert up.estimate(room) is None
    assert degrees(up.estimate(lying(empty(looking(*AROUND)), turn)), turn @ Z) < 0.1


@pytest.mark.parametrize(
    "room",
    [
        scene([(np.zeros((0, 3)), np.zeros((0, 3)))]),
        scene([(np.zeros((1, 3)), Z[None])]),
        scene([(np.random.default_rng(0).random((500, 3)), np.zeros((500, 3)))]),  # no normals
        scene(faces((0, 0, 0), ROOM, True, {(0, 0), (0, 1), (1, 1), (2, 0), (2, 1)})),  # a wall alone
        scene(faces((0, 0, 0), (1, 1, 1), False)),  # a cube
        scene(facade()),
        scene(facade(), looking(*((yaw, -15, 0) for yaw in (-20, 0, 20)))),
    ],
    ids=["nothing", "a point", "no normals", "a wall", "a cube", "a facade", "a facade with cameras"],
)
def test_what_does_not_tell(room):
    found = up.estimate(room)
    assert found is None or np.array_equal(found.direction, Z)
    stays = placement.upright("room", room, Said())
    assert stays.xyz.tobytes() == room.xyz.tobytes()
    unsure = ("room: its surfaces do not tell what is up; z was taken; --up z says that this is right",)
    assert stays.remarks == (unsure if found is None else ())
    assert placement.upright("room", room, Said(up=Z, walls="keep")) is room


@pytest.mark.parametrize("turn", TURNS)
def test_a_room_that_is_inside_out_is_not_turned_upside_down(turn):
    """Faces that are wound the other way give normals that point out of the room."""
    room = furnished()
    found = up.estimate(lying(replace(room, normal=-room.normal), turn))
    assert found is None or degrees(found, turn @ Z) < 0.1


def test_a_statue_that_is_seen_from_outside_stays_as_it_stands():
    parts = faces((0, 0, 0), (1, 1, 3), False, {(2, 0)}) + faces((1, 0, 0), (2, 1, 0.5), False, {(2, 0)})
    found = up.estimate(scene(parts))
    assert found is None or degrees(found, Z) < 0.1


def test_cameras_that_contradict_the_room_are_not_followed():
    room = furnished(looking(*((yaw, pitch, 180) for yaw, pitch, _ in AROUND)))  # upside down
    found = up.estimate(room)
    assert found is None or degrees(found, Z) < 1


def test_a_room_whose_z_is_up_stays_as_it_is():
    for angles in ((), AROUND, UNLEVEL):
        room = furnished(looking(*angles))
        assert placement.upright("room", room, Said()) is room
        tilted = lying(room, Rotation.from_euler("x", 6, degrees=True).as_matrix())
        assert placement.upright("room", tilted, Said()) is tilted


@pytest.mark.parametrize("angle", [11, 12, 13, 16, 24])
@pytest.mark.parametrize("angles", [(), AROUND], ids=["none", "level"])
def test_a_room_that_is_tilted_is_turned_though_its_z_is_nearly_up(angle, angles):
    """Along a diagonal, so that all its walls nearly stand."""
    turn = Rotation.from_rotvec(np.radians(angle) * np.array([0.5**0.5, 0.5**0.5, 0])).as_matrix()
    found = up.estimate(lying(furnished(looking(*angles)), turn))
    assert degrees(found, turn @ Z) < 0.1


@pytest.mark.parametrize("turn", TURNS[1:])
def test_a_room_that_lies_is_turned_and_that_is_said(turn):
    room = furnished(looking(*AROUND))
    lies = lying(room, turn)
    stands = placement.upright("my/room", lies, Said())
    np.testing.assert_allclose(np.ptp(stands.xyz[:, 2]), np.ptp(room.xyz[:, 2]), atol=0.02)
    np.testing.assert_allclose(stands.normal[:, 2], room.normal[:, 2], atol=0.002)
    np.testing.assert_allclose(moved(stands.xyz, stands.world), lies.xyz, atol=1e-5)
    largest = np.abs(stands.normal).max(1)
    np.testing.assert_allclose(largest, 1, atol=0.002)  # its walls are along x and y
    angle = np.degrees(np.arccos((turn @ Z)[2]))
    assert stands.remarks[0].startswith(
        f"my/room: turned by {angle:.0f} degrees: its surfaces and cameras say"
    )
    assert placement.upright("my/room", lies, Said(up=Z, walls="keep")) is lies  # who says it is believed
    images = placement.upright("my/room", lies, Said(up="images"))
    np.testing.assert_allclose(images.normal[:, 2], room.normal[:, 2], atol=0.01)
    np.testing.assert_allclose(images.xyz, stands.xyz, atol=0.05)  # however what is up was found
    assert images.remarks == stands.remarks[1:]

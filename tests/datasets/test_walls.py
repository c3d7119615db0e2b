"""At which angle walls stand, and that each way of reading a scan lays them along x and y."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anyscene.datasets import placement, up, walls
from anyscene.datasets.imports import ExportOptions
from anyscene.datasets.placement import Said
from anyscene.errors import DataError
from anyscene.library.scanned import as_scene
from anyscene.project import parameters
from anyscene.scene import Scene, moved
from tests.builders.box_room import ROOM, matrix_of, write_scan
from tests.builders.capture import write_ply

pytestmark = pytest.mark.integration

Z = np.array([0.0, 0.0, 1.0])
ANGLES = [11, 37, 44, -37, 90 + 37]
SETTINGS = parameters.defaults()


def about_z(degrees):
    step = np.eye(4)
    step[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    return step


def scene(xyz, normal):
    xyz, normal = (np.asarray(column, np.float32) for column in (xyz, normal))
    rgb, face = np.zeros((len(xyz), 3), np.uint8), np.zeros((0, 3), np.int32)
    return Scene("room", xyz, rgb, normal, face, (), "val", "test")


def room(degrees=0.0):
    """The four walls and the floor of a room of 5 x 4 x 2.5 m, turned about z."""
    steps = [np.arange(0.05, size, 0.1) for size in (5, 4, 2.5)]
    parts = []
    for axis, sides in ((0, (0, 5)), (1, (0, 4)), (2, (0,))):
        for side in sides:
            grids = [np.array([side]) if a == axis else steps[a] for a in range(3)]
            xyz = np.stack(np.meshgrid(*grids, indexing="ij"), -1).reshape(-1, 3)
            parts.append((xyz, np.tile(np.eye(3)[axis] * (1 if side == 0 else -1), (len(xyz), 1))))
    xyz, normal = (np.concatenate(column) for column in zip(*parts, strict=True))
    turned = scene(xyz, normal).moved(about_z(degrees))
    return replace(turned, world=np.eye(4))  # it was written so


def garden(trunks=6):
    """A lawn with round trunks."""
    rng = np.random.default_rng(0)
    lawn = np.column_stack([rng.uniform(0, 8, (2000, 2)), np.zeros(2000)])
    around = rng.uniform(0, 2 * np.pi, 600 * trunks)
    facing = np.column_stack([np.cos(around), np.sin(around), np.zeros(len(around))])
    at = np.repeat(rng.uniform(1, 7, (trunks, 3)) * [1, 1, 0], 600, axis=0)
    bark = at + 0.3 * facing + np.outer(rng.uniform(0, 3, len(around)), Z)
    return scene(np.concatenate([lawn, bark]), np.concatenate([np.tile(Z, (2000, 1)), facing]))


def off(found):
    """By how many degrees walls are off x and y."""
    return walls.angle(walls.standing(up.surfaces(found)))


# ------------------------------------------------------------------------------------------------- the angle


@pytest.mark.parametrize("degrees", [0, 3, 37, 44.9, -45, -20.5])
def test_the_angle_of_a_room(degrees):
    assert off(room(degrees)) == pytest.approx(degrees, abs=1e-4)


@pytest.mark.parametrize("noise", [2, 8])
def test_normals_that_are_not_exact(noise):
    degrees = np.random.default_rng(0).normal(37, noise, 5000) + 90 * np.arange(5000)
    assert walls.angle(degrees % 90) == pytest.approx(37, abs=0.05 * noise)


def test_furniture_that_stands_anyhow():
    rng = np.random.default_rng(0)
    degrees = np.concatenate([np.full(500, 37.0), rng.uniform(0, 90, 500)])
    assert walls.angle(degrees) == pytest.approx(37, abs=0.5)
    assert walls.angle(degrees[400:]) is None


@pytest.mark.parametrize(
    "degrees",
    [[], [20.0], [20.0, 21], np.tile([0.0, 45], 500), np.tile([0.0, 30, 60], 500), np.linspace(0, 90, 999)],
    ids=["none", "a point", "two", "an octagon", "a hexagon", "a tower"],
)
def test_directions_that_do_not_tell(degrees):
    assert walls.angle(np.array(degrees)) is None


def test_few_directions_at_random_do_not_tell():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        assert walls.angle(rng.uniform(0, 90, int(rng.integers(2, 60)))) is None


def test_surfaces_that_do_not_stand_have_no_direction():
    lying = np.tile([0.2, 0, np.sqrt(0.96)], (97, 1))
    assert len(walls.standing(lying)) == 0
    assert len(walls.standing(np.concatenate([lying, np.eye(3)[:1]]))) == 0  # hardly any
    assert len(walls.standing(np.concatenate([lying, np.tile(np.eye(3)[:1], (9, 1))]))) == 9


# ------------------------------------------------------------------------------------------------- placement


@pytest.mark.parametrize("degrees", [0, 3, -9, 90, 183])
def test_walls_along_x_and_y_stay_to_the_bit(degrees):
    stands = room(degrees)
    assert placement.upright("room", stands, Said(up=Z)) is stands


@pytest.mark.parametrize("degrees", [*ANGLES, 45])
def test_walls_anyhow_are_turned_and_that_is_said(degrees):
    stands = room(degrees)
    found = placement.upright("my/room", stands, Said(up=Z))
    assert abs(off(found)) < 1e-3
    angle = abs((degrees + 45) % 90 - 45)
    assert found.remarks == (
        f"my/room: turned by {angle:.0f} degrees about z, so that its walls are along x and y; --walls keep "
        "leaves them, --world source gives results where they stood",
    )
    np.testing.assert_allclose(found.xyz[:, 2], stands.xyz[:, 2], atol=1e-6)
    np.testing.assert_allclose(moved(found.xyz, found.world), stands.xyz, atol=1e-6)
    np.testing.assert_allclose(found.world @ [0, 0, 1, 0], [0, 0, 1, 0], atol=1e-12)
    kept = placement.upright("my/room", stands, Said(up=Z, walls="keep"))
    assert kept is stands


def test_a_garden_stays_as_it_is_and_that_is_said():
    trees = garden()
    found = placement.upright("garden", trees, Said(up=Z))
    assert found.xyz is trees.xyz and np.array_equal(found.world, np.eye(4))
    (remark,) = found.remarks
    assert remark.startswith("garden: its upright surfaces do not tell how its walls stand, so it is not")
    assert placement.upright("garden", trees, Said(up=Z, walls="keep")) is trees


def test_a_lawn_has_no_walls_to_speak_of():
    lawn = garden(trunks=0)
    assert placement.upright("lawn", lawn, Said(up=Z)) is lawn


# ----------------------------------------------------------------------------------- the doors of a scan


def read(path, **said):
    with as_scene(path, SETTINGS, options=ExportOptions(**said)) as (found, remarks):
        return found, remarks


def to_camera(folder):
    """f8[4,4]: from the world of the room to that of a camera, which looks 30 degrees past its walls."""
    return np.linalg.inv(np.loadtxt(folder / "pose" / "1.txt"))


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """The same room by its frames: as it was built, turned by 37 degrees, and in the world of one of its
    cameras, as plain files and in the layout of 7-Scenes."""
    root = tmp_path_factory.mktemp("forms")
    straight = write_scan(root / "straight")
    write_scan(root / "turned", pose=lambda pose: about_z(37) @ pose)
    step = to_camera(straight)
    plain = write_scan(root / "plain", pose=lambda pose: step @ pose)
    seven = root / "seven"
    seven.mkdir()
    np.savetxt(seven / "camera-intrinsics.txt", matrix_of())
    for k in range(12):
        for kind, ending in (("color", "png"), ("depth", "png"), ("pose", "txt")):
            source = plain / kind / f"{k}.{ending}"
            (seven / f"frame-{k:06d}.{kind}.{ending}").write_bytes(source.read_bytes())
    return root


def axis_of_up(forms):
    return to_camera(forms / "straight")[:3, :3] @ Z


def test_a_room_along_the_axes_is_not_touched(forms):
    found, remarks = read(forms / "straight")
    assert np.array_equal(found.world, np.eye(4)) and found.remarks == () and "turned" not in remarks


@pytest.mark.parametrize(
    ("form", "given"),
    [("turned", False), ("plain", False), ("plain", True), ("seven", False), ("seven", True)],
)
def test_every_way_of_reading_a_room_lays_its_walls_along_x_and_y(forms, form, given):
    said = {"up": axis_of_up(forms)} if given else {}
    found, remarks = read(forms / form, **said)
    assert abs(off(found)) < 0.5
    np.testing.assert_allclose(sorted(np.ptp(found.xyz[:, :2], axis=0)), sorted(ROOM[:2]), atol=0.05)
    (line,) = [line for line in remarks.splitlines() if "about z" in line]
    assert line.startswith(f"{forms / form}: turned by ")
    kept, remarks = read(forms / form, walls="keep", **said)
    assert abs(off(kept)) > 10 and "about z" not in remarks
    # the way back leads to the same places from both
    for one in (found, kept):
        back = np.array([one.world @ frame.camera.pose for frame in one.frames])
        own = [
            np.loadtxt(forms / ("turned" if form == "turned" else "plain") / "pose" / f"{k}.txt")
            for k in range(12)
        ]
        np.testing.assert_allclose(back, own, atol=1e-6)


@pytest.mark.parametrize("given", [False, True])
def test_the_layout_of_a_room_is_no_matter(forms, given):
    said = {"up": axis_of_up(forms)} if given else {}
    plain, seven = read(forms / "plain", up=axis_of_up(forms))[0], read(forms / "seven", **said)[0]
    for one, other in zip(plain.frames, seven.frames, strict=True):
        np.testing.assert_allclose(one.camera.pose, other.camera.pose, atol=0.01)


def test_boxes_in_the_own_world(tmp_path):
    """A mesh that was turned has the same places in its own world as one that was kept."""
    stands = room(37)
    write_ply(tmp_path / "room.ply", stands.xyz, stands.rgb, np.zeros((0, 3), np.int32))
    found, remarks = read(tmp_path / "room.ply")
    kept, said = read(tmp_path / "room.ply", walls="keep")
    assert "turned by 37 degrees about z" in remarks and said == ""
    assert kept.xyz.tobytes() == stands.xyz.tobytes()
    one, other = (each.xyz_in("source") for each in (found, kept))
    np.testing.assert_allclose(one.min(0), other.min(0), atol=1e-6)
    np.testing.assert_allclose(one.max(0), other.max(0), atol=1e-6)


def test_what_a_scan_says_of_its_walls(forms, tmp_path):
    folder = write_scan(tmp_path / "room", pose=lambda pose: about_z(37) @ pose)
    (folder / "capture.json").write_text(json.dumps({"walls": "keep"}))
    assert np.array_equal(read(folder)[0].world, np.eye(4))
    assert abs(off(read(folder, walls="align")[0])) < 0.5  # who asks is believed
    (folder / "capture.json").write_text(json.dumps({"walls": "straight"}))
    with pytest.raises(DataError, match=r"capture.json: walls must be align or keep, not 'straight'"):
        read(folder)

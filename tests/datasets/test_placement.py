"""Where a scan lies: units, coordinates of maps, another up, and the way back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anyscene.datasets import placement, ply
from anyscene.datasets.placement import Said
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from anyscene.scene import Camera, Frame, Scene, inverse, moved
from tests.builders import box_room
from tests.builders.capture import grid, write_ply, write_scan

UTM = np.array([693000.25, 5337000.5, 520.125])  # eastern and northern metres, height
Z = np.array([0.0, 0.0, 1.0])
CORNERS = np.array([[0.0, 0, 0], [4, 3, 2.5]])


def translated(folder, by, scale=1.0):
    """The scan in `folder` in another world: its poses and its mesh, in doubles."""
    for path in (folder / "pose").iterdir():
        pose = np.loadtxt(path)
        pose[:3, 3] = scale * pose[:3, 3] + by
        np.savetxt(path, pose, fmt="%.17g")
    if (folder / "mesh.ply").is_file():
        xyz, face = grid(6)
        rgb = np.zeros((len(xyz), 3), np.uint8)
        write_ply(folder / "mesh.ply", scale * xyz.astype(np.float64) + by, rgb, face)


def turned(folder, rotation):
    """The scan in `folder` in a world that is turned."""
    for path in (folder / "pose").iterdir():
        pose = np.loadtxt(path)
        pose[:3] = rotation @ pose[:3]
        np.savetxt(path, pose, fmt="%.17g")
    xyz, face = grid(6)
    write_ply(folder / "mesh.ply", xyz @ rotation.T, np.zeros((len(xyz), 3), np.uint8), face)


def read(root, said=None):
    return Rgbd(root, "test", **({} if said is None else {"said": said})).read("a")


def say(folder, **said):
    path = folder / "capture.json"
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | said))


# ------------------------------------------------------------------------------------------------------ units


@pytest.mark.parametrize(
    ("longest", "said"),
    [
        (4000, "4000 m, 4 m in millimetres (0.001), 40 m in centimetres (0.01); say the metres of a unit"),
        (400, "400 m, 4 m in centimetres (0.01), 10.2 m in inches (0.0254), 40 m in decimetres (0.1); say"),
        (
            157.48,
            "157.5 m, 4 m in inches (0.0254), 15.7 m in decimetres (0.1), 1.57 m in centimetres (0.01); say",
        ),
        (0.004, "0.004 m, 4 m in kilometres (1000); say"),
        (1e9, '1e+09 m; say the metres of a unit by --scale (scale in Python), or as "scale" in the'),
    ],
)
def test_a_size_that_nothing_has_is_refused_with_the_unit_that_would_do(longest, said):
    with pytest.raises(DataError) as error:
        placement.near("room.ply", CORNERS * longest / 4, Said(), sized=True)
    assert f"room.ply: its longest side would be {said}" in str(error.value)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), 1e10])
def test_a_scale_of_no_unit_is_refused(scale):
    with pytest.raises(
        DataError, match=r"room\.ply: a scale of \S+: give 1e-09 to 1e\+09, the metres of a unit"
    ):
        placement.near("room.ply", CORNERS, Said(scale=scale), sized=True)


def test_a_mesh_alone_in_millimetres_is_not_told_a_scale_for_the_poses_too():
    way = np.array([[1.0, 1, 1.5], [2.5, 1.2, 1.6]])
    with pytest.raises(
        DataError, match=r"would be 4000 m, .*went no farther than 1\.5 m: the mesh alone is in"
    ):
        placement.near("room.ply", CORNERS * 1000, Said(), True, way)
    with pytest.raises(DataError, match=r"4 m in millimetres \(0\.001\)"):
        placement.near("room.ply", CORNERS * 1000, Said(), True, 1000 * way)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_coordinates_of_a_map_in_single_precision_are_refused(kind):
    rounded = (np.random.default_rng(0).random((500, 3)) * CORNERS[1] + UTM).astype(np.float32).astype(kind)
    with pytest.raises(DataError, match=r"room\.ply: .* single precision: their steps are .* m .*double"):
        placement.near("room.ply", rounded, Said(), True)
    exact = np.random.default_rng(0).random((500, 3)) * CORNERS[1] + UTM
    assert np.abs(moved(exact, placement.near("room.ply", exact, Said(), True))).max() < 10
    near_by = (exact - UTM + 5000).astype(np.float32)  # steps of half a millimetre
    placement.near("room.ply", near_by, Said(), True)


@pytest.mark.parametrize(("digits", "step"), [(6, "1"), (7, "0.5|1")])
def test_coordinates_that_fell_together_along_one_axis_are_refused(digits, step):
    """As "%.6g" writes them: heights keep their digits."""
    places = np.random.default_rng(0).random((500, 3)) * CORNERS[1] + UTM
    written = np.array([[float(f"{value:.{digits}g}") for value in place] for place in places])
    with pytest.raises(DataError, match=rf"room\.ply: .* too few digits, .* are ({step}) m there"):
        placement.near("room.ply", written, Said(), True)


def test_a_wall_on_a_map_that_is_flat_to_the_bit_is_taken():
    places = np.random.default_rng(0).random((500, 3)) * CORNERS[1] + UTM
    places[:, 1] = UTM[1]
    placement.near("room.ply", places, Said(), True)


@pytest.mark.parametrize("step", [0.125, 0.25])
def test_cells_of_a_grid_on_a_map_were_not_rounded(step):
    """They are numbers of single precision along x, whose steps are .0625 m there."""
    cells = np.random.default_rng(0).integers(0, 40, (500, 3)) * step + np.round(UTM)
    placement.near("room.ply", cells, Said(), True)


def test_degrees_are_no_metres():
    metres = np.random.default_rng(0).random((500, 3)) * CORNERS[1]
    degrees = metres * [1e-5, 1e-5, 1] + [11.57, 48.137, 520]
    with pytest.raises(
        DataError, match=r"room\.las: is 2\.5 high, and \S+ and \S+ wide; are x and y degrees \(longitude"
    ):
        placement.near("room.las", degrees, Said(), True)
    with pytest.raises(
        DataError, match=r"room\.las: is 2\.5 high, and \S+ and \S+ wide; did its coordinates lose digits"
    ):
        placement.near("room.las", metres * [1e-5, 1e-5, 1] + [300, 48.137, 520], Said(), True)
    pole = metres * [0.02, 0.02, 1]
    placement.near("room.las", pole, Said(), True)


def empty_room(unit):
    """A scene of a room of 4 x 3 x 2.5 m without cameras, in a unit of so many metres."""
    xyz = box_room.surface(0.1)
    normal = np.zeros_like(xyz)
    for axis in range(3):
        normal[xyz[:, axis] == 0, axis] = 1
        normal[xyz[:, axis] == np.float32(box_room.ROOM[axis]), axis] = -1
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    none = np.zeros((0, 3), np.int32)
    return Scene(
        "room", (xyz / unit).astype(np.float32), np.zeros(xyz.shape, np.uint8), normal, none, (), "val", "x"
    )


@pytest.mark.parametrize(("unit", "name"), [(0.3048, "feet (0.3048)"), (0.1, "decimetres (0.1)")])
def test_a_room_of_the_height_of_a_hall_is_asked_for_its_unit(unit, name):
    remarks = placement.upright("room.ply", empty_room(unit), Said()).remarks
    assert any(f"from floor to ceiling; in {name} they would be 2.5 m; say" in one for one in remarks)
    assert not placement.upright("room.ply", empty_room(unit), Said(scale=1.0, up=Z)).remarks
    assert not placement.upright("room.ply", empty_room(1.0), Said(up=Z)).remarks


def test_a_scan_with_depth_that_is_as_high_as_a_hall_is_asked_for_its_unit():
    """Depth and poses may be in feet together."""
    pose = np.eye(4)
    frame = Frame("0", Path("0.png"), Path("0.png"), 1000.0, Camera(np.eye(3), pose, 1, 1))
    room = replace(empty_room(0.3048), frames=(frame,))
    assert "in feet (0.3048) they would be 2.5 m" in " ".join(
        placement.upright("a", room, Said(up=Z)).remarks
    )


@pytest.mark.parametrize("longest", [0.3, 4, 100])
def test_a_size_that_things_have_is_taken(longest):
    assert np.array_equal(placement.near("room.ply", CORNERS * longest / 4, Said(), True), np.eye(4))


def test_a_size_is_no_matter_where_it_is_said_or_depth_tells_it():
    assert np.array_equal(placement.near("a", CORNERS * 100, Said(scale=1.0), True), np.eye(4))
    assert np.array_equal(placement.near("a", CORNERS * 100, Said(), False), np.eye(4))


@pytest.fixture
def without_depth(tmp_path):
    """A scan in millimetres, with a mesh, without depth."""
    folder = write_scan(tmp_path, "a")
    for path in (folder / "depth").iterdir():
        path.unlink()
    (folder / "depth").rmdir()
    translated(folder, np.zeros(3), 1000.0)
    return folder


def test_a_scan_in_millimetres_without_depth(without_depth):
    root, (xyz, _) = without_depth.parent, grid(6)
    with pytest.raises(
        DataError, match=r"a/mesh.ply: its longest side would be 1000 m, .*, 1 m in millimetres"
    ):
        read(root)
    scene = read(root, Said(scale=0.001))
    np.testing.assert_allclose(scene.xyz, xyz, atol=1e-6)
    np.testing.assert_allclose(scene.frames[1].camera.pose[:3, 3], [0.6, 0, 0.5], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(scene.frames[1].camera.pose[:3, :3], axis=0), 1, atol=1e-12)
    np.testing.assert_allclose(moved(scene.xyz, scene.world), 1000 * xyz, rtol=1e-6)
    say(without_depth, scale=0.001)
    assert np.array_equal(read(root).xyz, scene.xyz)
    large = read(root, Said(scale=1.0))  # who asks is believed
    np.testing.assert_allclose(np.ptp(large.xyz, axis=0), [1000, 0, 1000], rtol=1e-6)
    np.testing.assert_allclose(large.xyz_in("source"), 1000 * xyz, rtol=1e-6)


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"scale": 0}, r"scale must be 1e-09 to 1e\+09 \(metres of a unit\), not 0"),
        ({"scale": "mm"}, "scale must be 1e-09 to"),
        ({"up": [0, 0, 0]}, "up must be 3 numbers, not all 0"),
        ({"up": "y"}, "up must be 3 numbers, not all 0"),
        ({"up": [0, 1]}, "up must be 3 numbers, not all 0"),
        ({"world": [[1, 2], [3]]}, "world must be 4x4 numbers"),
    ],
)
def test_what_cannot_be_said(tmp_path, said, wrong):
    say(write_scan(tmp_path, "a"), **said)
    with pytest.raises(DataError, match=rf"a/capture.json: {wrong}"):
        read(tmp_path)


# --------------------------------------------------------------------------------------------- maps, and back


@pytest.mark.parametrize("mesh", [True, False])
def test_coordinates_of_a_map(tmp_path, mesh):
    for name in ("here", "there"):
        write_scan(tmp_path / name, "a", mesh=mesh)
    translated(tmp_path / "there/a", UTM)
    here, there = read(tmp_path / "here"), read(tmp_path / "there")
    assert np.array_equal(here.world, np.eye(4))
    assert np.abs(there.xyz).max() < 3 and there.xyz.dtype == np.float32
    assert np.array_equal(there.world[:3, 3] % 1, [0, 0, 0])  # whole metres: the grid of voxels stays
    assert here.remarks == ()
    (remark,) = there.remarks
    assert remark.startswith(f"{tmp_path / 'there/a'}") and remark.endswith(
        f": moved to the origin from {','.join(f'{v + 0:.0f}' for v in there.world[:3, 3].round())}; "
        "--world source gives results there"
    )
    back = moved(there.xyz, there.world) - UTM
    if mesh:
        np.testing.assert_allclose(back, here.xyz, atol=1e-6)
        np.testing.assert_allclose(there.normal, here.normal, atol=1e-6)
    else:  # averages of the same readings, in cubes that begin elsewhere
        np.testing.assert_allclose(back[:, 1], 2, atol=1e-6)
        np.testing.assert_allclose(np.abs(there.normal[:, 1]), 1, atol=1e-5)
        for side in (np.min, np.max):
            np.testing.assert_allclose(side(back, 0), side(here.xyz, 0), atol=0.03)
    for one, other in zip(here.frames, there.frames, strict=True):
        pose = there.world @ other.camera.pose
        np.testing.assert_allclose(pose[:3, 3] - UTM, one.camera.pose[:3, 3], atol=1e-8)
        assert other.camera.looks_at(there.xyz).any()


def test_doubles_stay_doubles(tmp_path):
    xyz, face = grid(6)
    for places in (xyz, xyz + UTM):
        ply.write_mesh(tmp_path / "mesh.ply", places, np.zeros((36, 3), np.uint8), face)
        found, _, normal, _ = ply.read_mesh(tmp_path / "mesh.ply")
        assert found.dtype == places.dtype and np.array_equal(found, places)
        np.testing.assert_allclose(np.abs(normal[:, 1]), 1, atol=1e-6)


def test_near_coordinates_stay_to_the_bit(tmp_path):
    folder = write_scan(tmp_path, "a")
    xyz, face = grid(6)
    xyz[0] = [-0.0, 2.0, 999.0]
    write_ply(folder / "mesh.ply", xyz, np.zeros((36, 3), np.uint8), face)
    scene = read(tmp_path, Said(walls="keep"))  # one vertex is far off its wall
    assert scene.xyz.tobytes() == xyz.tobytes() and np.array_equal(scene.world, np.eye(4))
    assert scene.remarks == ()
    for frame in scene.frames:
        pose = np.loadtxt(folder / "pose" / f"{frame.id}.txt")
        assert frame.camera.pose.tobytes() == pose.tobytes()


def test_the_way_back_of_an_export_is_kept(tmp_path):
    folder = write_scan(tmp_path, "a")
    export = np.eye(4)
    export[:3] = np.column_stack([2 * Rotation.from_rotvec([0.3, -0.2, 1]).as_matrix(), UTM])
    say(folder, world=export.tolist(), scale=0.5)
    scene = read(tmp_path)
    xyz, _ = grid(6)
    np.testing.assert_allclose(moved(scene.xyz, scene.world), moved(xyz, export), rtol=1e-13, atol=1e-6)


def test_the_way_back_of_one_step_after_the_other(tmp_path):
    write_scan(tmp_path, "a")
    scene, steps = read(tmp_path), []
    for vector in ([0.3, -2, 1], [1, 0.5, 0]):
        step = np.eye(4)
        step[:3, :3] = 2 * Rotation.from_rotvec(vector).as_matrix()
        step[:3, 3] = vector
        steps.append(step)
    there = scene.moved(steps[0]).moved(steps[1])
    np.testing.assert_allclose(there.xyz, moved(moved(scene.xyz, steps[0]), steps[1]), atol=1e-5)
    np.testing.assert_allclose(there.xyz_in("source"), scene.xyz, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 0.001, 1000.0])
def test_the_way_back_loses_nothing(scale):
    step = np.eye(4)
    step[:3, :3] = scale * Rotation.from_rotvec([0.3, -2, 1]).as_matrix()
    step[:3, 3] = -step[:3, :3] @ UTM
    places = UTM + np.random.default_rng(0).uniform(0, 5, (100, 3))
    there = moved(places, step)
    assert np.abs(there).max() < 10 * scale
    np.testing.assert_allclose(moved(there, inverse(step)), places, rtol=1e-15, atol=4e-9)


# --------------------------------------------------------------------------------------------------------- up


@pytest.mark.parametrize("up", [(0, 1, 0), (0, -3, 0), (0.2, 0.5, -0.4)])
def test_up_that_is_said(tmp_path, up):
    folder = write_scan(tmp_path, "a")
    unit = np.array(up) / np.linalg.norm(up)
    rotation = Rotation.align_vectors([unit], [[0, 0, 1.0]])[0].as_matrix()
    before = read(tmp_path)
    turned(folder, rotation)
    after = read(tmp_path, Said(up=np.array(up, float)))
    np.testing.assert_allclose(after.xyz[:, 2], before.xyz[:, 2], atol=1e-6)
    np.testing.assert_allclose(moved(after.xyz, after.world), before.xyz @ rotation.T, atol=1e-6)
    np.testing.assert_allclose(after.normal[:, 2], 0, atol=1e-6)
    np.testing.assert_allclose(after.frames[0].camera.pose[2, :3], [0, -1, 0], atol=1e-6)
    say(folder, up=list(up))
    assert np.array_equal(read(tmp_path).xyz, after.xyz)


def test_images_that_do_not_tell_up(tmp_path):
    write_scan(tmp_path, "a")
    with pytest.raises(DataError, match=r"a: the images do not agree on what is up \(--up images\)"):
        read(tmp_path, Said(up="images"))


def test_a_wall_alone_is_no_floor(tmp_path):
    write_scan(tmp_path, "a")  # level cameras that all look the same way
    assert np.array_equal(read(tmp_path).world, np.eye(4))


def test_half_a_turn():
    empty = np.zeros((0, 3), np.float32)
    scene = Scene("a", empty, empty.astype(np.uint8), empty, empty.astype(np.int32), (), "val", "test")
    world = placement.upright("a", scene, Said(up=np.array([0, 0, -2.0]))).world
    np.testing.assert_allclose(world @ world.T, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(world @ [0, 0, 1, 0], [0, 0, -1, 0], atol=1e-12)


# ----------------------------------------------------------------------------------------------------- strays


@pytest.fixture
def room():
    """A thousand points of a room."""
    return np.random.default_rng(0).uniform(0, [4, 3, 2.5], (1000, 3))


@pytest.mark.parametrize("far", [400.0, 1e4, 1e9, 1e30, 1e300])
@pytest.mark.parametrize("scale", [None, 1.0])
def test_a_point_far_off_is_refused_and_named(room, far, scale):
    """With it a room was one voxel: every point got the same feature, and numpy warned of a cast."""
    room[17, 1] = far
    said = (
        r"here: 1 of 1,000 places lie up to .* m off, such as number 17 \(from 0\); the others span 3\.\d+ m"
    )
    with pytest.raises(DataError, match=said):
        placement.near("here", room, Said(scale), sized=True)


@pytest.mark.parametrize("far", [50.0, 99.0])
def test_what_is_seen_through_a_window_stays(room, far):
    room[17, 1] = far
    assert np.array_equal(placement.near("here", room, Said(), sized=True), np.eye(4))


def test_a_few_places_that_lie_too_far_apart_are_refused():
    """Of few nobody can tell which one is off."""
    with pytest.raises(DataError, match=r"here: its longest side would be 2e\+09 m"):
        placement.near("here", np.array([[0.0, 0, 0], [2e9, 0, 0]]), Said(1.0), sized=False)


def test_a_large_hall_said_to_be_one_is_taken(room):
    assert np.array_equal(placement.near("here", 100 * room, Said(1.0), sized=True), np.eye(4))
    with pytest.raises(DataError, match="lie up to 1e"):  # in millimetres too
        placement.near("here", np.concatenate([1000 * room, [[1e7, 0, 0]]]), Said(0.001), sized=True)


def test_a_scan_with_a_vertex_far_off(tmp_path):
    folder = write_scan(tmp_path, "a")
    xyz, face = grid(6)
    xyz = np.tile(xyz, (10, 1))  # so that one vertex is less than two percent
    xyz[-1] = 1e20
    write_ply(folder / "mesh.ply", xyz, np.zeros((len(xyz), 3), np.uint8), face)
    with pytest.raises(DataError, match=rf"mesh\.ply: 1 of {len(xyz)} places lie up to 1e\+20 m off"):
        read(tmp_path)

"""How far depth maps agree, counted by hand and on a room whose geometry is known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anyscene.datasets import agreement
from anyscene.datasets.agreement import Agreement, chosen, sample
from anyscene.datasets.readings import Change
from anyscene.scene import Camera
from tests.builders import box_room
from tests.builders.box_room import Measured

P = agreement.PIXELS


def at(z: float, metres: float, turned: bool = False) -> Measured:
    """A camera at (0, 0, z) that looks along z, or against it, and measures one pixel, the middle one."""
    pose = np.diag([-1.0, 1, -1, 1]) if turned else np.eye(4)
    pose[2, 3] = z
    depth = np.zeros((5, 5), np.float32)
    depth[2, 2] = metres
    return Measured(Camera(np.array([[4.0, 0, 2], [0, 4, 2], [0, 0, 1]]), pose, 5, 5), depth)


@pytest.mark.parametrize(
    ("metres", "confirmed", "past", "hidden"),
    [
        (1.0, 2, 0, 0),
        # The other measures 1.06 m where this one's point is at 1 m, and has a point at 2.06 m where this one
        # measures 2 m, which is within five percent.
        (1.06, 1, 1, 0),
        (0.94, 1, 0, 1),
        (0.9, 0, 1, 1),  # its point is at 1.9 m, and 2 m is 5.3 percent beyond
        (3.0, 0, 1, 1),
    ],
)
def test_two_frames_by_hand(metres, confirmed, past, hidden):
    found = sample([at(0, 2), at(1, metres)]).frames()
    assert found == Agreement(confirmed * P, past * P, hidden * P, 2 * P)


def test_what_nothing_covers_counts_as_asked():
    found = sample([at(0, 2), at(1, 1), at(0, 3, turned=True)]).frames()
    assert found == Agreement(2 * P, 0, 0, 6 * P) and found.covered == 2 * P
    no_reading = sample([at(0, 2), Measured(at(0, 1).camera, np.zeros((5, 5), np.float32))])
    assert no_reading is None and sample([]) is None


def test_frames_without_depth_are_left_out():
    without = Measured(at(0, 1).camera, None)
    assert sample([at(0, 2), without, at(1, 1)]).frames() == sample([at(0, 2), at(1, 1)]).frames()
    assert sample([without, without]) is None


def test_a_part_of_a_sample():
    taken = sample([at(0, 2), at(0, 5), at(1, 1)])
    part = taken.of(np.array([True, False, True]))
    assert part.metres[:, 0].tolist() == [2, 1] and len(part.depth) == 2
    assert part.frames() == sample([at(0, 2), at(1, 1)]).frames()
    assert taken.of(np.array([False, True, False])) is None


def test_shares_and_contradiction():
    found = Agreement(60, 20, 120, 1000)
    assert found.shares() == {"agree": 0.3, "seen_past": 0.1, "hidden": 0.6}
    assert found.contradiction == 0.25
    assert str(found) == "agree 30.0 %, seen past 10.0 %, hidden 60.0 %"
    assert Agreement(0, 0, 0, 9).contradiction == 0 and Agreement(0, 0, 0, 9).shares()["agree"] == 0


def test_changes_by_hand():
    pair = sample([at(0, 4), at(1, 2)])  # depth twice as large as it is; poses half as far apart as they are
    assert pair.frames().confirmed == 0
    assert pair.frames(Change(depth=0.5)).confirmed == 2 * P
    assert pair.frames(Change(positions=2.0)).confirmed == 2 * P
    back = sample([at(0, 2), at(-1, 1)])  # world to camera
    assert back.frames().confirmed == 0 and back.frames(Change(inverse=True)).confirmed == 2 * P


def test_rays_by_hand():
    # The first camera sees the point (3, 0, 4) along the ray (0.75, 0, 1) of length 1.25, the second, which
    # is a metre further on, sees it along (1, 0, 1).
    first, second = (np.zeros((5, 5), np.float32) for _ in range(2))
    first[2, 4], second[2, 4] = 4 * 1.25, 3 * np.sqrt(2)
    ahead = np.eye(4)
    ahead[2, 3] = 1
    cameras = [
        Camera(np.array([[focal, 0, 2], [0, focal, 2], [0, 0, 1]]), pose, 5, 5)
        for focal, pose in ((8 / 3, np.eye(4)), (2.0, ahead))
    ]
    pair = sample([Measured(cameras[0], first), Measured(cameras[1], second)])
    # Along the axis, the first's point would be at 4 m where the second has 4.24 m, the second's at 5.24 m
    # where the first has 5 m.
    assert pair.frames() == Agreement(P, P, 0, 2 * P)
    assert pair.frames(Change(along=-1)) == Agreement(2 * P, 0, 0, 2 * P)
    first[2, 4], second[2, 4] = 4, 3
    pair = sample([Measured(cameras[0], first), Measured(cameras[1], second)])
    assert pair.frames() == Agreement(2 * P, 0, 0, 2 * P)
    assert pair.frames(Change(along=1)) == Agreement(P, P, 0, 2 * P)


def test_surface_by_hand():
    pair = sample([at(0, 2), at(1, 1)])
    points = np.array([[0, 0, 2.0], [0, 0, 1.5], [0, 0, 3.0], [0, 0, -1.0], [9, 0, 1.0]])
    # 2 m: both confirm it; 1.5 m: both see past it; 3 m: hidden from both; the others are seen by none
    assert pair.surface(points) == Agreement(2, 2, 2, 10)


def test_points_beside_an_image_and_at_pixels_without_reading_are_not_covered():
    one = at(0, 2)
    beside = [[0, -1.5, 2.0], [0, 1.5, 2.0], [-1.5, 0, 2.0], [1.5, 0, 2.0]]  # rows and columns -1 and 5
    inside = [[0, -1.0, 2.0], [1.0, 1.0, 2.0]]  # the first row; the last of both
    full = Measured(one.camera, np.full((5, 5), 2, np.float32))
    points = np.array([*beside, *inside])
    assert sample([full, full]).surface(points) == Agreement(4, 0, 0, 12)
    assert sample([one, one]).surface(points) == Agreement(0, 0, 0, 12)


def test_a_room_agrees_and_its_wrong_readings_do_not():
    right = sample(box_room.frames())
    assert right.frames().contradiction < 0.01 and right.frames().shares()["agree"] > 0.9
    assert right.surface(box_room.surface()).contradiction < 0.01
    for change in (
        Change(depth=5.0),
        Change(depth=0.2),
        Change(along=-1),
        Change(positions=10.0),
        Change(inverse=True),
        Change(flipped=True),
        Change(inverse=True, flipped=True),
    ):
        found = right.frames(change)
        assert found.share < 0.65 and (found.contradiction > 0.2 or found.shares()["hidden"] > 0.9), change


def test_a_motion_of_the_world_changes_nothing():
    turn = np.eye(4)
    turn[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    turn[:3, 3] = 12, -5, 3
    moved = box_room.posed(box_room.frames(), lambda pose: turn @ pose)
    assert abs(sample(moved).frames().confirmed - sample(box_room.frames()).frames().confirmed) < 20


def test_depth_smaller_than_colour():
    small = [
        Measured(one.camera, box_room.depth_of(one.camera.pose, (40, 30)).astype(np.float32))
        for one in box_room.frames()
    ]
    assert sample(small).frames().share > 0.95 and sample(small).surface(box_room.surface()).share > 0.9


def video(count: int) -> np.ndarray:
    """f8[N, 4, 4]: a walk of four rounds."""
    return np.array([box_room.pose_of(k, count // 4) for k in range(count)])


@pytest.mark.parametrize(
    "change", [Change(), Change(inverse=True), Change(flipped=True), Change(positions=50.0)]
)
def test_chosen_frames_overlap_however_poses_are_meant(change):
    poses = video(2000)
    found = chosen(change.poses(poses))
    assert len(found) <= agreement.FRAMES[1] and np.array_equal(found, np.unique(found))
    assert overlapping(poses[found]).any(1).all()  # as they are, whatever was said


@pytest.mark.parametrize("change", [Change(), Change(inverse=True), Change(inverse=True, flipped=True)])
def test_chosen_frames_overlap_in_any_order(change):
    rng = np.random.default_rng(3)
    poses = np.array([scattered(rng) for _ in range(3000)])
    found = chosen(change.poses(poses))
    assert len(found) <= agreement.FRAMES[1] and overlapping(poses[found]).any(1).mean() > 0.3


def scattered(rng) -> np.ndarray:
    """f8[4, 4]: somewhere in a hall of 40 metres, looking about."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("z", rng.uniform(0, 360), degrees=True).as_matrix()
    pose[:3, :3] = pose[:3, :3] @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    pose[:3, 3] = rng.uniform(0, 40), rng.uniform(0, 40), 1.6
    return pose


def overlapping(right: np.ndarray) -> np.ndarray:
    """b1[N, N]: pairs that see much of the same from elsewhere, of poses as they are."""
    turned = np.degrees(
        np.arccos(np.clip((np.einsum("iab,jab->ij", right[:, :3, :3], right[:, :3, :3]) - 1) / 2, -1, 1))
    )
    apart = np.linalg.norm(right[:, None, :3, 3] - right[None, :, :3, 3], axis=2)
    return (turned > 8) & (turned < 52) & (apart < 2)


def test_few_frames_are_all_taken():
    assert chosen(video(16)).tolist() == list(range(16))
    assert len(chosen(video(40))) <= 16 and len(chosen(video(120))) <= 30


def test_frames_that_hardly_turn_are_taken_at_gaps():
    poses = np.tile(np.eye(4), (1000, 1, 1))
    poses[:, 0, 3] = np.arange(1000) / 100
    found = chosen(poses)
    assert 10 < len(found) <= agreement.FRAMES[1] and np.diff(found).min() >= 1 and found.max() == 999


def test_points_of_a_surface_are_few_and_evenly_spread():
    xyz = np.arange(30000, dtype=np.float32).reshape(-1, 3)
    face = np.zeros((0, 3), np.int32)
    found = agreement.points_of(xyz, face)
    assert len(found) == agreement.POINTS and found[0, 0] == 0 and found[-1, 2] == 29999
    assert np.array_equal(agreement.points_of(xyz[:10], face), xyz[:10])
    assert np.array_equal(agreement.points_of(xyz[:10], face + [[0, 1, 1]]), xyz[:10])  # of no area


def test_where_large_faces_span_few_points_these_are_on_the_faces():
    """A square and a triangle of a quarter of its area."""
    xyz = np.array(
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 5], [0.5, 0, 5], [0, 1, 5]], np.float32
    )
    found = agreement.points_of(xyz, np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6]]))
    assert found.shape == (agreement.POINTS, 3) and found.dtype == xyz.dtype
    assert np.array_equal(found[:7], xyz)
    square = found[found[:, 2] == 0]
    assert abs(len(square) / len(found) - 0.8) < 0.02 and np.abs(square.mean(0) - [0.5, 0.5, 0]).max() < 0.02
    x, y, _ = found[found[:, 2] == 5].T
    assert len(square) + len(x) == len(found) and (2 * x + y <= 1 + 1e-6).all() and (x >= 0).all()

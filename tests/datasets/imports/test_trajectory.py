"""Poses at the times of images."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anyscene.datasets import rotations
from anyscene.datasets.imports.trajectory import Trajectory, nearest
from anyscene.errors import FrameError


def trajectory(times, near=0.02, gap=0.1):
    """A camera that moves 1 m/s along x and turns 1 rad/s about z."""
    times = np.array(times, float)
    position = np.stack([times, 0 * times, 0 * times], 1)
    return Trajectory.of(times, position, rotations.of_vectors(times[:, None] * [0, 0, 1.0]), near, gap)


@pytest.mark.parametrize("order", [1, -1])
def test_between_two_poses_it_is_interpolated(order):
    pose = trajectory([1.0, 1.08, 1.16][::order]).at(1.1, "file")
    assert np.allclose(pose[:3, 3], [1.1, 0, 0])
    assert np.allclose(pose[:3, :3], Rotation.from_rotvec([0, 0, 1.1]).as_matrix())


def test_at_a_pose_and_beside_the_ends():
    assert np.allclose(trajectory([1.0, 1.08]).at(1.08, "file")[0, 3], 1.08)
    assert np.allclose(trajectory([1.0, 1.08]).at(1.09, "file")[0, 3], 1.08)
    assert np.allclose(trajectory([1.0, 1.08]).at(0.985, "file")[0, 3], 1.0)


def test_in_a_gap_only_what_is_near_counts():
    moved = trajectory([1.0, 2.0])
    assert np.allclose(moved.at(1.015, "file")[0, 3], 1.0)
    with pytest.raises(FrameError, match=r"file: no pose within 0\.02 s of 1\.500000"):
        moved.at(1.5, "file")


def test_of_poses_at_one_time_the_first_counts():
    position = np.array([[5.0, 0, 0], [6, 0, 0]])
    both = Trajectory.of(np.array([1.0, 1.0]), position, np.tile(np.eye(3), (2, 1, 1)), 0.02, 0.1)
    assert both.at(1.0, "file")[0, 3] == 5


def test_the_nearest_of_timed_things():
    timed = [(1.0, "a"), (1.1, "b"), (1.3, "c")]
    assert [nearest(timed, time, 0.06) for time in (0.95, 1.04, 1.06, 1.2, 1.31)] == [
        "a",
        "a",
        "b",
        None,
        "c",
    ]
    assert nearest([], 1.0, 1.0) is None

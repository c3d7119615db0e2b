"""The scanner against a room whose surface is known exactly: an empty box seen from inside."""

import numpy as np
import pytest

from anyscene.scene import Camera
from anyscene_demo.scan import reconstruct

SIZE = np.array([3.0, 4.0, 2.4])
INTRINSICS = np.array([[65.0, 0, 39.5], [0, 65.0, 29.5], [0, 0, 1]])
WIDTH, HEIGHT = 80, 60


def look(eye, target):
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = eye
    return Camera(INTRINSICS, pose, WIDTH, HEIGHT)


def exact_depth(camera):
    column, row = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    pixel = np.stack([column, row, np.ones_like(row)], -1) @ np.linalg.inv(INTRINSICS).T
    ray, eye = pixel @ camera.pose[:3, :3].T, camera.pose[:3, 3]
    with np.errstate(divide="ignore"):
        ahead = np.where(ray > 0, (SIZE - eye) / ray, np.where(ray < 0, -eye / ray, np.inf))
    return ahead.min(axis=-1).astype(np.float32)


@pytest.fixture(scope="module")
def views():
    eye = SIZE / 2
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    cameras = [look(eye, eye + [np.cos(a), np.sin(a), 0.5 * np.sin(3 * a)]) for a in angles]
    return cameras, [exact_depth(camera) for camera in cameras]


def scan(cameras, depth, **options):
    rgb = [np.full((HEIGHT, WIDTH, 3), (200, 100, 50), np.uint8)] * len(cameras)
    return reconstruct(rgb, depth, cameras, np.full(3, -0.2), SIZE + 0.2, voxel=0.05, **options)


def distance_to_box(xyz):
    return np.minimum(np.abs(xyz), np.abs(xyz - SIZE)).min(axis=1)


def test_vertices_lie_on_the_walls_and_face_the_room(views):
    mesh = scan(*views)
    assert len(mesh.xyz) > 5000
    assert np.quantile(distance_to_box(mesh.xyz), 0.99) < 0.025
    a, b, c = (mesh.xyz[mesh.face[:, i]] for i in range(3))
    inwards = (np.cross(b - a, c - a) * (SIZE / 2 - (a + b + c) / 3)).sum(axis=1) > 0
    assert inwards.mean() > 0.99


def test_colour_is_that_of_the_frames(views):
    assert np.abs(scan(*views).rgb.astype(int) - (200, 100, 50)).max() <= 1


def test_what_no_frame_saw_is_a_hole(views):
    cameras, depth = views
    everything, half = scan(cameras, depth), scan(cameras[:4], depth[:4])
    assert len(half.xyz) < 0.5 * len(everything.xyz)
    assert np.quantile(distance_to_box(half.xyz), 0.99) < 0.025


def test_averaging_frames_removes_noise(views):
    cameras, depth = views
    rng = np.random.default_rng(0)
    noisy = [d + rng.normal(0, 0.03, d.shape).astype(np.float32) for d in depth]
    assert distance_to_box(scan(cameras, noisy).xyz).mean() < 0.02


def test_small_pieces_are_dropped(views):
    cameras, depth = views
    speck = [d.copy() for d in depth]
    for d in speck:
        d[28:32, 38:42] = 0.8  # something tiny that floats in front of every camera
    assert len(scan(cameras, speck, smallest=1).xyz) > len(scan(cameras, speck).xyz)


def test_nothing_measured_gives_an_empty_mesh(views):
    cameras, depth = views
    mesh = scan(cameras, [np.zeros_like(d) for d in depth])
    assert mesh.xyz.shape == (0, 3) and mesh.face.shape == (0, 3)

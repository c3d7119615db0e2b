"""Rendered views against rooms whose geometry is known."""

import numpy as np
import pytest

from anyscene.scene import Camera
from anyscene_demo.generated import Parts
from anyscene_demo.render import Light, Rendered, Renderer, look_at, sensor_noise
from anyscene_demo.rooms import CLASSES, assemble, shell_model

SIZE = np.array([3.0, 4.0, 2.5])
WIDTH, HEIGHT = 64, 48
INTRINSICS = np.array([[50.0, 0, 31.5], [0, 50.0, 23.5], [0, 0, 1]])
LIGHT = Light(position=np.array([1.5, 2.0, 2.3]), fill=np.array([0.0, 0, 1]))
CABINET, CHAIR = CLASSES.index("cabinet"), CLASSES.index("chair")


def box(low, high):
    parts = Parts()
    parts.box(low, high, (200, 60, 40))
    return parts.model("box", "cabinet", "zoo")


def renderer(*objects):
    shell = shell_model(np.random.default_rng(0), "zoo", SIZE, tiled=False)
    return Renderer(assemble(list(objects), shell))


def camera(eye, target):
    return Camera(INTRINSICS, look_at(np.array(eye, float), np.array(target, float)), WIDTH, HEIGHT)


def exact(view):
    """Depth and hit plane (0-2 far x, y, z; 3-5 near) of the empty room."""
    column, row = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    pixel = np.stack([column, row, np.ones_like(row)], -1) @ np.linalg.inv(INTRINSICS).T
    ray, eye = pixel @ view.pose[:3, :3].T, view.pose[:3, 3]
    with np.errstate(divide="ignore"):
        ahead = np.concatenate(
            [np.where(ray > 0, (SIZE - eye) / ray, np.inf), np.where(ray < 0, -eye / ray, np.inf)], -1
        )
    return ahead.min(-1), ahead.argmin(-1)


def interior(plane):
    """Pixels whose eight neighbours lie on the same plane, b1[H,W]."""
    padded = np.pad(plane, 1, constant_values=-1)
    around = [padded[i : i + HEIGHT, j : j + WIDTH] for i in range(3) for j in range(3)]
    return np.all([a == plane for a in around], axis=0)


@pytest.mark.parametrize("target", [(3, 2.1, 1.2), (0.3, 3.5, 0.2), (2, 0, 2.2)])
def test_empty_room_is_exact(target):
    view = camera((1.4, 1.9, 1.3), target)
    image = renderer().frame(view, LIGHT)
    depth, plane = exact(view)
    inside = interior(plane)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(image.depth[inside], depth[inside], rtol=2e-4)
    expected = np.array([0, 0, 255, 0, 0, 1])[plane]  # wall, ceiling (none), floor
    np.testing.assert_array_equal(image.label[inside], expected[inside])
    assert (image.instance == 0).all() and (image.rgb.mean(-1) > 10).all()


def test_the_nearer_object_hides_the_other():
    near, far = box((1.3, 2.0, 1.0), (1.7, 2.2, 1.4)), box((1.0, 3.0, 0.7), (2.0, 3.2, 1.7))
    image = renderer((far, CABINET, 1), (near, CHAIR, 2)).frame(camera((1.5, 0.5, 1.2), (1.5, 4, 1.2)), LIGHT)
    middle = HEIGHT // 2, WIDTH // 2
    assert (image.label[middle], image.instance[middle]) == (CHAIR, 2)
    assert image.depth[middle] == pytest.approx(1.5, abs=1e-3)
    assert set(np.unique(image.instance)) == {0, 1, 2}
    np.testing.assert_array_equal(image.label == CABINET, image.instance == 1)
    np.testing.assert_array_equal(image.label == CHAIR, image.instance == 2)
    # 0.4 m at 1.5 m with a focal length of 50 pixels
    assert (image.instance == 2).sum() == pytest.approx((0.4 / 1.5 * 50) ** 2, rel=0.12)
    assert image.depth[image.instance == 1] == pytest.approx(2.5, abs=2e-3)


def test_an_object_throws_a_shadow():
    table = box((1.0, 1.5, 1.0), (2.0, 2.5, 1.05))
    view = camera((1.5, 0.2, 1.6), (1.5, 2.0, 0.0))
    lit, shaded = renderer().frame(view, LIGHT), renderer((table, CABINET, 1)).frame(view, LIGHT)
    floor = (shaded.label == CLASSES.index("floor")) & (lit.label == CLASSES.index("floor"))
    darker = lit.rgb[floor].astype(int).mean(-1) - shaded.rgb[floor].astype(int).mean(-1)
    assert (darker > 10).any() and (darker > -1).all()


def test_noise_leaves_labels_alone():
    image = renderer((box((1.3, 2.0, 0), (1.7, 2.2, 1.4)), CHAIR, 1)).frame(
        camera((1.5, 0.5, 1.2), (1.5, 4, 1.0)), LIGHT
    )
    noisy = sensor_noise(np.random.default_rng(0), image)
    np.testing.assert_array_equal(noisy.label, image.label)
    np.testing.assert_array_equal(noisy.instance, image.instance)
    read = noisy.depth > 0
    assert 0.7 < read.mean() < 1
    error = np.abs(noisy.depth - image.depth)[read]
    assert 0 < error.mean() < 0.04 and (noisy.rgb != image.rgb).any()


def test_far_readings_are_lost():
    shape = (12, 12)
    far = Rendered(
        np.zeros((*shape, 3), np.uint8),
        np.full(shape, 6.5, np.float32),
        np.zeros(shape, np.uint8),
        np.zeros(shape, np.uint16),
    )
    assert (sensor_noise(np.random.default_rng(0), far).depth == 0).all()


def test_look_at_sees_its_target_in_the_middle():
    pose = look_at(np.array([1.0, 2, 1.5]), np.array([2.5, 0.5, 0.3]), roll=0.1)
    seen = np.linalg.inv(pose) @ (2.5, 0.5, 0.3, 1)
    np.testing.assert_allclose(seen[:2], 0, atol=1e-12)
    assert seen[2] > 0 and np.linalg.det(pose[:3, :3]) == pytest.approx(1)

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from pipeline import inspection, store
from pipeline.datasets import Rgbd
from pipeline.errors import StoreError
from stages.inspect import app
from tests.capture import write_scan


@pytest.fixture
def data(tmp_path):
    """data/scenes/a, data/fusion/a, data/superpoints/a of one small scan."""
    write_scan(tmp_path / "raw", "a")
    for name in ("scenes", "fusion", "superpoints", "projection"):
        (tmp_path / name).mkdir()
    scene = Rgbd(tmp_path / "raw", "test").read("a")
    store.write_scene(store.create(tmp_path / "scenes/a.zarr", "k1"), scene, tmp_path / "raw")
    rng = np.random.default_rng(0)
    fusion = store.create(tmp_path / "fusion/a.zarr", "k2")
    feature = np.where(scene.xyz[:, :1] < 0.5, rng.normal(size=8), rng.normal(size=8)).astype(np.float16)
    store.write(fusion, "feature", feature)
    store.write(fusion, "valid", np.arange(36) > 3)
    superpoints = store.create(tmp_path / "superpoints/a.zarr", "k3")
    store.write(superpoints, "superpoint", np.arange(36, dtype=np.int32) // 12)
    return tmp_path


def printed(tree):
    console = Console(width=200, record=True)
    console.print(tree)
    return console.export_text()


def test_tree_of_a_scene(data):
    text = printed(inspection.tree(data / "scenes/a.zarr"))
    assert "xyz  float32[36, 3]" in text and "0 .. 2" in text
    assert 'key: "k1"' in text and "frames: 3 of them" in text and "x  " in text


def test_tree_of_a_folder(data):
    text = printed(inspection.tree(data / "fusion"))
    assert "1 artefacts" in text and "a.zarr" in text and "feature[36, 8]" in text


def test_range_counts_what_is_not_finite(data):
    group = store.create(data / "fusion/b.zarr", "k")
    store.write(group, "feature", np.array([1, np.nan, np.inf, -2], np.float16))
    store.write(group, "nothing", np.zeros((0, 3), np.int32))
    text = printed(inspection.tree(data / "fusion/b.zarr"))
    assert "-2 .. 1, 2 not finite" in text and "empty" in text


def test_no_artefact(data):
    (data / "none").mkdir()
    with pytest.raises(StoreError, match="no artefact here"):
        inspection.tree(data / "none")


def test_pictures(data):
    for name in ("scenes", "fusion", "superpoints"):
        image = inspection.picture(data / name / "a.zarr", size=64)
        assert image.shape == (64, 64, 3) and len(np.unique(image.reshape(-1, 3), axis=0)) > 2


def test_picture_without_its_scene(data):
    (data / "scenes").rename(data / "elsewhere")
    with pytest.raises(StoreError, match="give it with --scene"):
        inspection.picture(data / "fusion/a.zarr")
    assert inspection.picture(data / "fusion/a.zarr", data / "elsewhere/a.zarr", 32).shape == (32, 32, 3)


def test_synthesised_images_are_shown_with_their_masks(data):
    group = store.create(data / "projection/bed.zarr", "k")
    store.write(group, "image", np.full((3, 8, 8, 3), 200, np.uint8))
    store.write(group, "mask", np.ones((3, 8, 8), bool))
    image = inspection.picture(data / "projection/bed.zarr", size=24)
    assert image.shape == (16, 24, 3) and image[0, 0, 0] == 200 and image[-1, 0, 0] == 255


def test_principal_colours_tell_directions_apart():
    rng = np.random.default_rng(0)
    feature = np.repeat(np.eye(4), 50, 0) @ rng.normal(size=(4, 16)) + rng.normal(size=(200, 16)) * 1e-3
    colours = inspection.principal_colours(feature).astype(int)
    assert np.abs(colours[0] - colours[49]).max() < 30 and np.abs(colours[0] - colours[50]).max() > 100
    assert np.array_equal(colours, inspection.principal_colours(feature))
    assert inspection.principal_colours(np.zeros((0, 16))).shape == (0, 3)


def test_distinct_colours():
    colours = inspection.distinct_colours(np.array([0, 1, 0, -1]))
    assert np.array_equal(colours[0], colours[2]) and not np.array_equal(colours[0], colours[1])
    assert np.array_equal(colours[3], [40, 40, 40])


def test_near_points_hide_far_ones():
    xyz = np.array([[0, 0, 0], [0, 0.5, -0.5], [1, 0, 0], [0, 1, 1]], np.float32)  # 0 is nearer than 1
    rgb = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], np.uint8)
    image = inspection.render(xyz, rgb, 40).reshape(-1, 3).tolist()
    assert [255, 0, 0] in image and [0, 255, 0] not in image and [9, 9, 9] not in image


def test_command(data):
    result = CliRunner().invoke(app, [str(data / "fusion/a.zarr"), "--picture", str(data / "look.png")])
    assert result.exit_code == 0 and "feature" in result.stdout
    assert Image.open(data / "look.png").size == (800, 800)
    assert CliRunner().invoke(app, [str(data / "none")]).exit_code == 1

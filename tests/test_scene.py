import numpy as np
import pytest
from PIL import Image

from anyscene.errors import DataError
from anyscene.scene import Camera, Frame, in_colour, resized, thumbnail, turned_back
from tests.twins import released_code

K = np.array([[577.870605, 0, 319.5], [0, 577.870605, 239.5], [0, 0, 1]])


def test_resizing_scales_focal_by_size_and_centre_by_size_less_one():
    small = Camera(K, np.eye(4), 640, 480).resized(320, 240)
    assert np.allclose(small.intrinsics[[0, 1], [0, 1]], 577.870605 / 2)
    assert np.allclose(small.intrinsics[:2, 2], [319.5 * 319 / 639, 239.5 * 239 / 479])
    assert (small.width, small.height) == (320, 240)


def test_resizing_back_restores():
    camera = Camera(K, np.eye(4), 640, 480)
    assert np.allclose(camera.resized(97, 31).resized(640, 480).intrinsics, K)


def test_a_camera_looks_at_what_is_before_it_and_in_its_image():
    # pixels are 2 x/z + 1, 2 y/z + 1
    camera = Camera(np.array([[2, 0, 1], [0, 2, 1], [0, 0, 1]]), np.eye(4), 4, 3)
    inside = [[0, 0, 1], [-0.75, 0, 1], [1.2, 0.7, 1], [2.4, 1.4, 2]]  # columns 1, -0.5 -> 0, 3.4 -> 3, 3
    edges = [[1.25, 0, 1], [-0.8, 0, 1], [0, 0.75, 1], [0, -0.8, 1]]  # 3.5 -> 4, -0.6 -> -1; rows 2, -1
    nowhere = [[0, 0, -1], [0, 0, 0], [1, 0, 0], [np.nan, 0, 1]]
    xyz = np.array(inside + edges + nowhere, np.float32)
    assert camera.looks_at(xyz).tolist() == 4 * [True] + [False, False, True, False] + 4 * [False]
    ahead = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 5], [0, 0, 0, 1]])  # five metres further on
    points = np.array([[0, 0, 6.0], [0, 0, 4.0]])
    assert Camera(camera.intrinsics, ahead, 4, 3).looks_at(points).tolist() == [True, False]
    assert camera.looks_at(np.empty((0, 3), np.float32)).shape == (0,)


def test_camera_cannot_be_changed():
    camera = Camera(K, np.eye(4), 640, 480)
    with pytest.raises(ValueError, match="read-only"):
        camera.pose[0, 0] = 2
    with pytest.raises(AttributeError):
        camera.width = 3


def test_camera_keeps_no_reference():
    pose = np.eye(4)
    camera = Camera(K, pose, 640, 480)
    pose[0, 3] = 5
    assert camera.pose[0, 3] == 0


@pytest.mark.parametrize(
    ("intrinsics", "pose", "size", "message"),
    [
        (np.eye(4), np.eye(4), (4, 4), r"intrinsics \[3,3\] and pose \[4,4\]"),
        (K * np.nan, np.eye(4), (4, 4), "intrinsics contain NaN"),
        (K, np.full((4, 4), -np.inf), (4, 4), "pose contains NaN or infinity"),
        (K * [[-1], [1], [1]], np.eye(4), (4, 4), "focal lengths must be positive"),
        (K, np.eye(4), (0, 4), "image size must be positive"),
        (K, np.diag([1, 1, 1.01, 1]), (4, 4), "camera pose .*not rigid"),
        (K, np.diag([1, 1, 1, 2]), (4, 4), "not rigid"),
        (K, np.zeros((4, 4)), (4, 4), "singular"),
        (
            K,
            np.diag([1.086, 1.086, 1.086, 1]),
            (4, 4),
            "is scaled by 1.086, .*: divide its 3x3 rotation by that",
        ),
        (K, np.diag([1.0, -1, 1, 1]), (4, 4), "mirrors, as axes of a left-handed world do"),
        (K, np.eye(4) + np.eye(4, k=-3), (4, 4), "translation in the last row: it is transposed; write its"),
    ],
)
def test_bad_cameras(intrinsics, pose, size, message):
    with pytest.raises(DataError, match=message):
        Camera(intrinsics, pose, *size)


def test_rounded_pose_is_rigid_enough():
    angle = 0.7
    pose = np.eye(4)
    pose[:2, :2] = np.round([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], 4)
    assert Camera(K, pose, 640, 480).pose[0, 0] == pose[0, 0]


def test_attributes_round_trip(tmp_path):
    frame = Frame("7", tmp_path / "s/color/7.jpg", None, 1000.0, Camera(K, np.eye(4), 640, 480))
    record = frame.to_attributes(tmp_path)
    assert record["color"] == "s/color/7.jpg" and record["depth"] is None
    again = Frame.from_attributes(record, tmp_path / "elsewhere")
    assert again.color == tmp_path / "elsewhere/s/color/7.jpg" and again.read_depth() is None
    assert np.array_equal(again.camera.intrinsics, K) and again.camera.width == 640


def test_missing_image_is_named(tmp_path):
    frame = Frame("7", tmp_path / "7.jpg", tmp_path / "7.png", 1000.0, Camera(K, np.eye(4), 640, 480))
    with pytest.raises(DataError, match=r"7\.jpg: not a readable image"):
        frame.read_color()
    with pytest.raises(DataError, match=r"7\.png: not a readable depth image"):
        frame.read_depth()


def test_colour_depth_is_refused(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "7.png")
    frame = Frame("7", tmp_path / "7.png", tmp_path / "7.png", 1000.0, Camera(K, np.eye(4), 4, 3))
    with pytest.raises(DataError, match="depth must have one channel"):
        frame.read_depth()


def test_depth_is_metres(tmp_path):
    Image.fromarray(np.array([[0, 1500], [65534, 4000]], np.uint16)).save(tmp_path / "7.png")
    frame = Frame("7", tmp_path / "7.png", tmp_path / "7.png", 4000.0, Camera(K, np.eye(4), 2, 2))
    assert np.allclose(frame.read_depth(), [[0, 0.375], [16.3835, 1]])
    assert frame.read_depth((1, 1)).shape == (1, 1)


def test_lengths_of_rays_by_hand():
    # x / z is -1, 0, 1 in the columns, y / z is 0 and 2 in the rows
    camera = Camera(np.array([[2.0, 0, 2], [0, 1, 0], [0, 0, 1]]), np.eye(4), 5, 3)
    found = camera.ray_lengths()
    assert found.shape == (3, 5) and found.dtype == np.float32
    assert np.allclose(found[:, [0, 2, 4]] ** 2, [[2, 1, 2], [3, 2, 3], [6, 5, 6]])


@pytest.mark.parametrize(("form", "metres"), [("axis", 4.0), ("ray", 4 / np.sqrt(2)), ("rotated", 0.5)])
def test_what_the_values_of_a_depth_file_count(tmp_path, form, metres):
    Image.fromarray(np.full((1, 3), 4000, np.uint16)).save(tmp_path / "d.png")
    camera = Camera(np.array([[1.0, 0, 1], [0, 1, 0], [0, 0, 1]]), np.eye(4), 3, 1)
    frame = Frame("d", tmp_path / "d.png", tmp_path / "d.png", 1000.0, camera, form)
    assert np.allclose(frame.read_depth()[0, [0, 2]], metres)
    record = frame.to_attributes(tmp_path)
    assert record.get("depth_form", "axis") == form and ("depth_form" in record) == (form != "axis")
    assert Frame.from_attributes(record, tmp_path).depth_form == form


def test_rays_of_a_smaller_image(tmp_path):
    Image.fromarray(np.full((5, 5), 1000, np.uint16)).save(tmp_path / "d.png")
    camera = Camera(np.array([[2.0, 0, 2], [0, 2, 2], [0, 0, 1]]), np.eye(4), 5, 5)
    frame = Frame("d", tmp_path / "d.png", tmp_path / "d.png", 1000.0, camera, "ray")
    assert np.allclose(frame.read_depth((3, 3)), frame.read_depth()[::2, ::2], rtol=0.2)
    assert np.allclose(frame.read_depth((3, 3))[1, 1], 1)


def test_bits_are_turned_back():
    steps = np.array([0, 1, 7, 8191, 8192, 65535], np.uint16)
    stored = np.array([0, 8, 56, 65528, 1, 65535], np.int32)  # as Pillow reads some files
    assert np.array_equal(turned_back(stored), steps) and turned_back(stored).dtype == np.uint16
    for wrong in (65536, -1):  # would be 0 and 65535
        with pytest.raises(ValueError, match=r"0 to 65536|-1 to 0"):
            turned_back(np.array([0, wrong], np.int32))


def test_depth_of_more_bits_than_were_rotated_is_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 65544, np.int32)).save(tmp_path / "d.tiff")  # would be 1 of 65536
    camera = Camera(np.array([[4.0, 0, 1.5], [0, 4, 1.5], [0, 0, 1]]), np.eye(4), 4, 4)
    frame = Frame("d", tmp_path / "d.tiff", tmp_path / "d.tiff", 1000.0, camera, "rotated")
    with pytest.raises(DataError, match=r"d\.tiff: 65544 to 65544 are no 16 bits .*; correct depth_form"):
        frame.read_depth()


def frame_of(path, depth=None, scale=1000.0):
    return Frame("0", path, depth, scale, Camera(np.diag([1.0, 1, 1]), np.eye(4), 4, 2))


def test_grey_of_16_bits_keeps_its_upper_byte(tmp_path):
    """Pillow's own conversion makes all above 255 white."""
    grey = np.array([[0, 255, 256, 511], [0x1234, 0x8000, 0xFEFF, 0xFFFF]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "c.png")
    rgb = frame_of(tmp_path / "c.png").read_color()
    assert rgb[..., 0].tolist() == [[0, 0, 1, 1], [0x12, 0x80, 0xFE, 0xFF]]
    assert (rgb == rgb[..., :1]).all()


def test_colour_of_other_kinds(tmp_path):
    for mode, colour in (("L", 7), ("LA", (7, 1)), ("RGBA", (7, 8, 9, 1)), ("P", 0), ("1", 1)):
        Image.new(mode, (4, 2), colour).save(tmp_path / f"{mode}.png")
        assert frame_of(tmp_path / f"{mode}.png").read_color().shape == (2, 4, 3)
    Image.fromarray(np.ones((2, 4), np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(DataError, match=r"float\.tiff: not a readable image \(its pixels are floating"):
        frame_of(tmp_path / "float.tiff").read_color()


def test_the_largest_value_of_16_bits_is_no_depth(tmp_path):
    Image.new("RGB", (4, 2)).save(tmp_path / "c.png")
    Image.fromarray(np.array([[0, 1, 65534, 65535]] * 2, np.uint16)).save(tmp_path / "d.png")
    depth = frame_of(tmp_path / "c.png", tmp_path / "d.png").read_depth()
    assert np.allclose(depth[0], [0, 0.001, 65.534, 0]) and depth.dtype == np.float32


def test_grey_images_of_twelve_bits_keep_their_upper_eight():
    grey = np.array([[0, 15, 16, 0x123], [0x800, 0xABC, 0xFF0, 0xFFF]], np.uint16)
    rgb = np.asarray(in_colour(Image.fromarray(grey)))
    assert rgb[..., 0].tolist() == [[0, 0, 1, 0x12], [0x80, 0xAB, 0xFF, 0xFF]]


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_thumbnails_are_small_and_of_the_image(tmp_path, ending):
    rows = np.linspace(0, 255, 480).astype(np.uint8)
    image = np.broadcast_to(rows[:, None, None], (480, 640, 3))
    Image.fromarray(np.ascontiguousarray(image)).save(tmp_path / f"c.{ending}", quality=95)
    frame = Frame("0", tmp_path / f"c.{ending}", None, 1000.0, Camera(K, np.eye(4), 640, 480))
    small = frame.thumbnail(80)
    assert small.shape == (60, 80, 3)
    np.testing.assert_allclose(small[..., 0], np.broadcast_to(image[4::8, ::8, 0], (60, 80)), atol=3)
    (tmp_path / f"c.{ending}").write_bytes(b"no image")
    with pytest.raises(DataError, match="not a readable image"):
        frame.thumbnail(80)


def test_thumbnails_are_turned_as_exif_says():
    image = Image.fromarray(np.zeros((30, 40, 3), np.uint8))
    image.putpixel((0, 0), (255, 255, 255))
    image.getexif()[0x0112] = 6  # stored on its side: to be turned to the right
    assert thumbnail(image, 30, exif=True).shape == (40, 30, 3)
    assert thumbnail(image, 30, exif=True)[0, -1, 0] == 255
    assert thumbnail(image, 40)[0, 0, 0] == 255


SIZES = [((11, 7), (4, 3)), ((12, 8), (6, 4)), ((5, 4), (9, 10)), ((27, 20), (20, 15))]


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_nearest_takes_the_pixels_that_the_released_code_takes(tmp_path, before, after):
    """Of colour and depth, which are those of the upper left corners."""
    rng = np.random.default_rng(0)
    color = rng.integers(0, 256, (before[1], before[0], 3), np.uint8)
    depth = rng.integers(1, 9000, (before[1], before[0])).astype(np.uint16)
    Image.fromarray(color).save(tmp_path / "c.png")
    Image.fromarray(depth).save(tmp_path / "d.png")
    frame = Frame("0", tmp_path / "c.png", tmp_path / "d.png", 1000.0, Camera(K, np.eye(4), *before))
    assert np.array_equal(frame.read_color(after, "nearest"), released_code.nearest(color, after))
    metres = released_code.nearest(depth, after) / np.float32(1000)
    assert np.array_equal(frame.read_depth(after, "nearest"), metres)
    for how in ("antialiased", "bilinear"):  # of the middles
        rows, columns = (
            (np.arange(n) * 2 + 1) * m // (2 * n) for n, m in zip(after[::-1], before[::-1], strict=True)
        )
        middle = depth[rows[:, None], columns] / np.float32(1000)
        assert np.array_equal(frame.read_depth(after, how), middle)
    assert np.array_equal(frame.read_color(before, "nearest"), color)


def test_bilinear_takes_what_the_released_code_takes_at_half_the_size(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (8, 12, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "c.png")
    frame = Frame("0", tmp_path / "c.png", None, 1000.0, Camera(K, np.eye(4), 12, 8))
    assert np.array_equal(frame.read_color((6, 4), "bilinear"), released_code.halved(image))
    assert not np.array_equal(frame.read_color((6, 4)), released_code.halved(image))


def test_bilinear_by_hand_at_a_third_and_beyond_the_edge():
    row = np.array([[[0], [30], [90], [20], [10], [200]]], np.uint8)
    assert resized(row, (2, 1), "bilinear").ravel().tolist() == [30, 10]  # the middles of three pixels
    # places -0.25, 0.25, 0.75, 1.25 of two pixels; 7.5 is rounded up
    assert resized(row[:, :2], (4, 1), "bilinear").ravel().tolist() == [0, 8, 23, 30]

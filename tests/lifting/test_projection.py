import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from anyscene.errors import DataError
from anyscene.lifting import projection
from anyscene.lifting.projection import DescribedFrame, ProjectionError, project, visible_pixels
from anyscene.scene import Camera, Frame
from anyscene.segmenters.protocol import CaptionMap, FeatureMap

NOTHING = {"tolerance": 0.0, "border": 0}


def camera(focal=100.0, width=160, height=120, pose=None):
    intrinsics = [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]
    return Camera(np.array(intrinsics), np.eye(4) if pose is None else pose, width, height)


def random_camera(rng, width=40, height=30):
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    pose[:3, 3] = rng.normal(0, 1, 3)
    fx, fy = rng.uniform(0.4, 2, 2) * width
    cx, cy = rng.uniform(0.3, 0.7, 2) * (width, height)
    return Camera(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), pose, width, height)


def twin_visible(xyz, camera, depth, tolerance, border):
    """Method.md §2, one point at a time in Python's numbers."""
    rotation, position = camera.pose[:3, :3], camera.pose[:3, 3]
    found = []
    for i, point in enumerate(xyz.astype(float)):
        x, y, z = rotation.T @ (point - position)
        if z <= 0:
            continue
        u = round(camera.intrinsics[0, 0] * x / z + camera.intrinsics[0, 2])
        v = round(camera.intrinsics[1, 1] * y / z + camera.intrinsics[1, 2])
        if not (border <= u < camera.width - border and border <= v < camera.height - border):
            continue
        if depth is not None and abs(depth[v, u] - z) > tolerance * depth[v, u]:
            continue
        found.append((i, v, u))
    return found


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([None, np.float32, np.float64]),
    st.sampled_from([0.02, 0.25]),
    st.sampled_from([0, 5]),
)
def test_visible_pixels_equal_twin(seed, depth_type, tolerance, border):
    rng = np.random.default_rng(seed)
    view = random_camera(rng)
    xyz = rng.uniform(-3, 3, (150, 3)).astype(np.float32)
    depth = None
    if depth_type:
        depth = rng.uniform(0.3, 5, (view.height, view.width)).astype(depth_type)
        depth[rng.random(depth.shape) < 0.2] = 0
    point, row, column = visible_pixels(xyz, view, depth, tolerance=tolerance, border=border)
    found = list(zip(point.tolist(), row.tolist(), column.tolist(), strict=True))
    assert found == twin_visible(xyz, view, depth, tolerance, border)
    assert (point.dtype, row.dtype, column.dtype) == (np.int64, np.int32, np.int32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_visibility_follows_a_permutation_of_the_points(seed):
    rng = np.random.default_rng(seed)
    view, xyz = random_camera(rng), rng.uniform(-3, 3, (200, 3)).astype(np.float32)
    order = rng.permutation(200)
    point, row, column = visible_pixels(xyz, view, **NOTHING)
    shuffled = visible_pixels(xyz[order], view, **NOTHING)
    assert sorted(zip(order[shuffled[0]], *shuffled[1:], strict=True)) == list(
        zip(point, row, column, strict=True)
    )


def test_halves_round_to_even_and_the_border_is_exclusive_of_the_far_side():
    view = Camera(np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1]]), np.eye(4), 10, 8)
    at = [[2.5, 1.5], [3.5, 2.5], [1.5, 2], [7, 5], [7.5, 5], [1, 5.5]]
    xyz = np.array([[x, y, 1] for x, y in at], np.float32)
    point, row, column = visible_pixels(xyz, view, tolerance=0, border=2)
    # (2.5, 1.5) -> (2, 2); (3.5, 2.5) -> (4, 2); (1.5, 2) -> (2, 2); (7.5, .) -> 8, outside; (1, .) outside
    assert list(zip(point, row, column, strict=True)) == [(0, 2, 2), (1, 2, 4), (2, 2, 2), (3, 5, 7)]


def test_points_behind_in_and_near_the_camera_plane():
    xyz = np.array([[0, 0, 1], [0, 0, -1], [0, 0, 0], [1, 0, 0], [1, 1, 1e-30], [np.nan, 0, 1]], np.float32)
    assert visible_pixels(xyz, camera(), **NOTHING)[0].tolist() == [0]


def test_occlusion_is_relative_to_the_measured_depth_and_zero_depth_hides():
    xyz = np.array([[0, 0, z] for z in (1.5, 1.51, 2.5, 2.49, 2.51, 0.1)], np.float32)
    depth = np.full((120, 160), 2.0, np.float32)
    assert visible_pixels(xyz, camera(), depth, tolerance=0.25, border=0)[0].tolist() == [0, 1, 2, 3]
    assert len(visible_pixels(xyz, camera(), 0 * depth, tolerance=0.25, border=0)[0]) == 0
    assert len(visible_pixels(xyz, camera(), np.nan * depth, tolerance=0.25, border=0)[0]) == 0


@pytest.mark.parametrize(("depth_type", "seen"), [(np.float32, [0]), (np.float64, [])])
def test_the_tolerated_distance_has_the_precision_of_depth(depth_type, seen):
    xyz = np.array([[0, 0, 1 - 0.1000000007]])  # 0.1 in single precision is 0.1000000015
    found = visible_pixels(xyz, camera(), np.ones((120, 160), depth_type), tolerance=0.1, border=0)
    assert found[0].tolist() == seen


def test_depth_of_another_size_is_an_error():
    with pytest.raises(ProjectionError, match="is 160x100, the image 160x120: resize one of them"):
        visible_pixels(np.zeros((1, 3)), camera(), np.ones((100, 160)), tolerance=0.1, border=0)


def twin_bilinear(feature, row, column, width, height):
    h, w, _ = feature.shape
    x = np.clip((column + 0.5) * w / width - 0.5, 0, w - 1)
    y = np.clip((row + 0.5) * h / height - 0.5, 0, h - 1)
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, w - 1), min(y0 + 1, h - 1)
    top = feature[y0, x0] * (1 - (x - x0)) + feature[y0, x1] * (x - x0)
    bottom = feature[y1, x0] * (1 - (x - x0)) + feature[y1, x1] * (x - x0)
    return top * (1 - (y - y0)) + bottom * (y - y0)


def twin_project(xyz, views, encode, tolerance, border):
    """Every feature of every sighting, added up one by one."""
    seen = [[] for _ in xyz]
    for view in views:
        for i, v, u in twin_visible(xyz, view.camera, view.depth, tolerance, border):
            if isinstance(view.map, CaptionMap):
                if view.map.caption[v, u] >= 0:
                    seen[i].append(encode([view.map.text[view.map.caption[v, u]]])[0].astype(float))
            else:
                size = view.camera.width, view.camera.height
                seen[i].append(twin_bilinear(view.map.feature.double().numpy(), v, u, *size))
    width = next((len(one) for some in seen for one in some), 0)
    mean = [np.mean(some, 0) if some else np.zeros(width) for some in seen]
    return np.array(mean), np.array([len(some) for some in seen])


def encode(texts):
    """A made-up embedding that differs between texts."""
    rows = [np.random.default_rng(list(text.encode())).normal(size=6) for text in texts]
    return np.array(rows, np.float32).reshape(-1, 6)


def random_views(rng, kind, count=5):
    views = []
    for _ in range(count):
        view = random_camera(rng)
        depth = None
        if rng.random() < 0.5:
            depth = rng.uniform(0.5, 4, (view.height, view.width)).astype(np.float32)
        if kind == "captions":
            text = tuple(f"a {word} thing" for word in rng.permutation(["red", "old", "big", "soft"])[:3])
            shown = CaptionMap(rng.integers(-1, 3, (view.height, view.width)).astype(np.int32), text)
        else:
            h, w = (view.height, view.width) if kind == "full grid" else (7, 11)
            shown = FeatureMap(torch.from_numpy(rng.normal(size=(h, w, 6)).astype(np.float32)))
        views.append(DescribedFrame(view, depth, shown))
    return views


def whole(blocks):
    features, counts = zip(*blocks, strict=True)
    return np.concatenate(features), np.concatenate(counts)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["full grid", "coarse grid", "captions"]))
def test_projection_equals_twin_and_does_not_depend_on_blocks(seed, kind):
    rng = np.random.default_rng(seed)
    xyz, views = rng.uniform(-3, 3, (120, 3)).astype(np.float32), random_views(rng, kind)
    expected, times = twin_project(xyz, views, encode, 0.25, 1)
    assume(times.any())  # else it is an error: see below
    feature, count = whole(project(xyz, views, encode, tolerance=0.25, border=1))
    assert (count == times).all() and count.dtype == np.uint16 and feature.dtype == np.float32
    np.testing.assert_allclose(feature, expected, atol=1e-5)
    for rows in (1, 50, 120, 999):
        parts = list(project(xyz, iter(views), encode, tolerance=0.25, border=1, rows=rows))
        assert len(parts) == -(-120 // rows)
        assert all((a == b).all() for a, b in zip(whole(parts), (feature, count), strict=True))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["full grid", "coarse grid"]))
def test_maps_on_a_gpu_are_read_there_with_the_same_bits(seed, kind):
    """add_sampled, which a CPU can run too, beside the compiled loop; in pieces of a few points."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-3, 3, (300, 3)).astype(np.float32)
    one, other = torch.zeros(300, 6), torch.zeros(300, 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "SAMPLED", 7)
        for view in random_views(rng, kind):
            seen = visible_pixels(xyz, view.camera, view.depth, tolerance=0.25, border=0)
            size = view.camera.width, view.camera.height
            projection.add_sampled_compiled(one.numpy(), *seen, view.map.feature.numpy(), *size)
            projection.add_sampled(other, *seen, view.map.feature, *size)
    assert torch.equal(one, other)


def test_of_a_map_on_another_device_only_the_means_leave_it(monkeypatch):
    """A tensor that says it is elsewhere takes the GPU's path, and may be copied once for all views."""

    copies = []

    class Elsewhere(torch.Tensor):
        @property
        def device(self):
            return torch.device("meta")

        def numpy(self, *, force=False):
            copies.append(tuple(self.shape))
            return self.as_subclass(torch.Tensor).numpy()

    rng = np.random.default_rng(0)
    xyz = np.concatenate([[[0, 0, 2]], rng.uniform(-3, 3, (80, 3))]).astype(np.float32)
    views = random_views(rng, "full grid")
    expected, count = whole(project(xyz, views, encode, tolerance=0.25, border=0))
    zeros, plain = torch.zeros, torch.Tensor.to
    monkeypatch.setattr(torch, "zeros", lambda *size, device: zeros(*size).as_subclass(Elsewhere))
    monkeypatch.setattr(
        torch.Tensor,
        "to",
        lambda self, *to, **how: self if to == (torch.device("meta"),) else plain(self, *to),
    )
    there = [
        DescribedFrame(view.camera, view.depth, FeatureMap(view.map.feature.as_subclass(Elsewhere)))
        for view in views
    ]
    feature, times = whole(project(xyz, there, encode, tolerance=0.25, border=0))
    assert np.array_equal(feature, expected) and np.array_equal(times, count)
    assert copies == [(81, 6)]


def test_depth_is_kept_for_later_blocks(tmp_path):
    xyz = np.array([[0, 0, 1], [0, 0, 3]], np.float32)
    shown = FeatureMap(torch.ones(2, 2, 4))
    view = DescribedFrame(camera(), np.full((120, 160), 3.0, np.float32), shown)
    parts = project(xyz, iter([view]), encode, tolerance=0.1, border=0, rows=1, spool=tmp_path)
    assert [count.tolist() for _, count in parts] == [[0], [1]]
    assert list(tmp_path.iterdir()) == []


def caption_view(caption, text):
    return DescribedFrame(camera(), None, CaptionMap(np.full((120, 160), caption, np.int32), text))


def test_captions_are_counted_by_sentence_not_by_number(monkeypatch):
    xyz, (red, old) = np.array([[0, 0, 1]], np.float32), encode(["red", "old"])
    views = [caption_view(0, ("red", "old")), caption_view(1, ("old", "red")), caption_view(0, ("old",))]
    feature, count = whole(project(xyz, views, encode, **NOTHING))
    np.testing.assert_allclose(feature[0], (2 * red + old) / 3, rtol=1e-6)
    assert count.tolist() == [3]
    monkeypatch.setattr(projection, "PENDING", 0)  # added up after every view, with new captions each time
    again, _ = whole(project(xyz, views, encode, **NOTHING))
    assert (again == feature).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_two_parts_of_the_views_average_to_the_union(seed, cut):
    rng = np.random.default_rng(seed)
    xyz = np.concatenate([[[0, 0, 2]], rng.uniform(-3, 3, (80, 3))]).astype(np.float32)
    views = random_views(rng, "captions")
    views[0] = views[-1] = caption_view(0, ("red",))
    (f1, c1), (f2, c2), (f, c) = (
        whole(project(xyz, part, encode, tolerance=0.25, border=0))
        for part in (views[:cut], views[cut:], views)
    )
    assert (c1 + c2 == c).all()
    together = f1 * c1[:, None].astype(float) + f2 * c2[:, None].astype(float)
    np.testing.assert_allclose(together, f * c[:, None].astype(float), atol=1e-4)


def test_pixels_without_a_mask_are_no_sighting_and_maps_without_masks_do_no_harm():
    xyz = np.array([[0, 0, 1]], np.float32)
    views = [caption_view(-1, ()), caption_view(-1, ("red",)), caption_view(0, ("old",))]
    feature, count = whole(project(xyz, views, encode, **NOTHING))
    assert count.tolist() == [1]
    np.testing.assert_allclose(feature, encode(["old"]), rtol=1e-6)


@pytest.mark.parametrize("rows", [None, 1])
def test_a_scene_without_any_mask_has_no_feature_and_no_error(rows):
    """Its views see the points; the model finds nothing in them."""
    xyz = np.array([[0, 0, 1], [0, 0, -1]], np.float32)
    views = [caption_view(-1, ()), caption_view(-1, ())]
    blocks = list(
        project(xyz, views, lambda texts: np.zeros((len(texts), 3), np.float32), rows=rows, **NOTHING)
    )
    feature, count = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    assert feature.shape == (2, 3) and not feature.any() and count.tolist() == [0, 0]
    assert (feature.dtype, count.dtype) == (np.float32, np.uint16)


def test_no_frames_and_no_visible_point_are_errors():
    behind = np.array([[0, 0, -1]], np.float32)
    with pytest.raises(ProjectionError, match="no frames"):
        list(project(behind, [], encode, **NOTHING))
    for view in (caption_view(0, ("red",)), DescribedFrame(camera(), None, FeatureMap(torch.ones(1, 1, 3)))):
        with pytest.raises(ProjectionError, match="no view sees any point"):
            list(project(behind, [view], encode, **NOTHING))


@dataclass
class Brightness:
    """A model that places the grey level of every pixel in a text space of one dimension."""

    batches: list[int]

    def describe(self, images, vocabulary):
        self.batches.append(len(images))
        return [FeatureMap(torch.from_numpy(image[..., :1].astype(np.float32))) for image in images]


def frames_of(folder, count):
    frames = []
    for i in range(count):
        color, depth = folder / f"{i}.png", folder / f"{i}-depth.png"
        Image.fromarray(np.full((8, 12, 3), 10 * i, np.uint8)).save(color)
        Image.fromarray(np.full((8, 12), 1000 + i, np.uint16)).save(depth)
        frames.append(Frame(str(i), color, depth if i else None, 1000.0, camera(width=12, height=8)))
    return frames


def test_views_resizes_frames_cameras_and_depth_and_keeps_order(tmp_path):
    model = Brightness([])
    found = list(projection.described_frames(frames_of(tmp_path, 5), model, ["wall"], (6, 4), batch=2))
    assert model.batches == [2, 2, 1]
    assert [float(view.map.feature[0, 0, 0]) for view in found] == [0, 10, 20, 30, 40]
    assert found[0].depth is None and (found[3].depth == np.full((4, 6), 1.003, np.float32)).all()
    assert (found[3].camera.width, found[3].camera.height) == (6, 4)


def test_frames_are_read_while_the_model_looks_at_others(tmp_path, monkeypatch):
    begun, read = threading.Event(), Frame.read_color

    def noticed(frame, *how):
        if frame.id == "1":
            begun.set()
        return read(frame, *how)

    class Waiting(Brightness):
        def describe(self, images, vocabulary):
            assert begun.wait(30), "frame 1 is not read before frame 0 is done with"
            return super().describe(images, vocabulary)

    monkeypatch.setattr(Frame, "read_color", noticed)
    found = list(projection.described_frames(frames_of(tmp_path, 3), Waiting([]), ["wall"], (6, 4), batch=1))
    assert [float(view.map.feature[0, 0, 0]) for view in found] == [0, 10, 20]


class Forgetful(Brightness):
    """Has memory for two images, and more for none that follow."""

    def describe(self, images, vocabulary):
        found = super().describe(images, vocabulary)
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return found


def test_frames_that_do_not_fit_into_a_gpu_together_go_in_smaller_batches(tmp_path):
    model = Forgetful([])
    found = list(projection.described_frames(frames_of(tmp_path, 7), model, ["wall"], (6, 4), batch=5))
    assert [float(view.map.feature[0, 0, 0]) for view in found] == [0, 10, 20, 30, 40, 50, 60]
    assert model.batches == [5, 2, 2, 1, 2]


def test_no_frames_and_a_broken_one(tmp_path):
    assert list(projection.described_frames([], Brightness([]), ["wall"], (6, 4), batch=2)) == []
    frames, model = frames_of(tmp_path, 4), Brightness([])
    frames[3].color.write_bytes(b"nothing")
    seen = []
    with pytest.raises(DataError, match=r"3\.png: not a readable image"):
        seen.extend(
            view.depth is None
            for view in projection.described_frames(frames, model, ["wall"], (6, 4), batch=2)
        )
    assert model.batches == [2]


@pytest.mark.parametrize(("row", "column", "unread"), [(1, 3, (1, 0)), (3, 1, None)])
def test_nothing_beyond_the_last_cells_is_read(row, column, unread):
    """Beyond the middle of the last cell of a row, or of the last row, there is no next one, whatever follows
    in memory: another row, or anything."""
    memory = np.ones((3, 2, 1), np.float32)
    memory[2] = np.inf
    if unread is not None:
        memory[unread] = np.inf
    total, pixel = np.zeros((1, 1), np.float32), (np.array([one], np.int32) for one in (row, column))
    projection.add_sampled_compiled(total, np.zeros(1, np.int64), *pixel, memory[:2], 4, 4)
    assert total.item() == 1

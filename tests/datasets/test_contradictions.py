"""Scans that contradict themselves: refused, with the reading under which they agree."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from anyscene.datasets import contradictions
from anyscene.datasets.agreement import WHOLE, Pairs, completed, sample
from anyscene.datasets.contradictions import DOUBTFUL, Findings, Judge
from anyscene.datasets.readings import Reading
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from tests.builders import box_room
from tests.builders.box_room import OPENGL, along_rays, deep, posed, rotated
from tests.builders.capture import write_ply

pytestmark = pytest.mark.integration


def judge(now=None, refuse=True) -> Judge:
    return Judge("room", now or Reading(), lambda changed: f"say {sorted(changed.items())}", refuse)


def judged(measured, now=None, refuse=True) -> Findings:
    return judge(now, refuse).frames(sample(measured))


def moved(factor):
    def change(pose):
        pose = pose.copy()
        pose[:3, 3] *= factor
        return pose

    return change


def test_a_right_room_passes_and_says_how_far_it_agrees():
    findings = judged(box_room.frames())
    assert not findings.warning and findings.record()["frames"]["agree"] > 0.9
    assert str(findings).startswith("depth against depth: agree 9")
    surface = judge().surface(sample(box_room.frames()), box_room.surface(), findings)
    assert surface.record()["surface"]["agree"] > 0.9 and not surface.warning
    assert surface.record().keys() == {"frames", "surface"}


WRONG = {  # what is wrong with the frames -> the fields of the right reading
    "a tenth of the unit": (lambda f: deep(f, lambda d: d / 10), [("depth_scale", 100.0)]),
    "ten times the unit": (lambda f: deep(f, lambda d: d * 10), [("depth_scale", 10000.0)]),
    "TUM": (lambda f: deep(f, lambda d: d * 5), [("depth_scale", 5000.0)]),
    "Replica": (lambda f: deep(f, lambda d: d * 6.5535), [("depth_scale", 6553.5)]),
    "Matterport": (lambda f: deep(f, lambda d: d * 4), [("depth_scale", 4000.0)]),
    "SUN RGB-D": (lambda f: deep(f, lambda d: rotated(1000 * d) / 1000), [("depth_form", "rotated")]),
    "along the ray": (lambda f: deep(f, along_rays), [("depth_form", "ray")]),
    "world to camera": (lambda f: posed(f, np.linalg.inv), [("poses", "world-to-camera")]),
    "OpenGL": (lambda f: posed(f, lambda p: p @ OPENGL), [("axes", "opengl")]),
    "poses ten times too large": (lambda f: posed(f, moved(10)), [("scale", 0.1)]),
    "poses ten times too small": (lambda f: posed(f, moved(0.1)), [("scale", 10.0)]),
    "poses in feet": (lambda f: posed(f, moved(1 / 0.3048)), [("scale", 0.3048)]),
    "poses in inches": (lambda f: posed(f, moved(1 / 0.0254)), [("scale", 0.0254)]),
    "poses in millimetres": (lambda f: posed(f, moved(1000)), [("scale", 0.001)]),
    "OpenGL, world to camera": (
        lambda f: posed(f, lambda p: np.linalg.inv(p @ OPENGL)),
        [("axes", "opengl"), ("poses", "world-to-camera")],
    ),
    "TUM, world to camera": (
        lambda f: posed(deep(f, lambda d: d * 5), np.linalg.inv),
        [("depth_scale", 5000.0), ("poses", "world-to-camera")],
    ),
    "OpenGL along the ray": (
        lambda f: posed(deep(f, along_rays), lambda p: p @ OPENGL),
        [("axes", "opengl"), ("depth_form", "ray")],
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_readings_are_refused_and_the_right_one_is_named(wrong):
    spoil, right = WRONG[wrong]
    with pytest.raises(DataError) as error:
        judged(spoil(box_room.frames()))
    said = str(error.value)
    assert said.startswith("room: its depth maps contradict each other (agree ") and "\n" not in said
    assert "they do not (agree " in said
    assert said.endswith(f": say {right}"), said


@pytest.mark.parametrize(
    ("steps", "said", "refused"),
    [(200.0, 1000.0, True), (400.0, 1000.0, True), (200.0, 256.0, False), (2000.0, 1000.0, False)],
)
def test_a_unit_that_no_table_knows_is_named_about(steps, said, refused):
    read = deep(box_room.frames(), lambda d: d * steps / said)
    warning = judged(read, Reading(said), refuse=False).warning
    assert "a metre (no unit that is known here; or that of the poses is off) they" in warning
    named = float(warning.rpartition("say [('depth_scale', ")[2].partition(")")[0])
    assert named == pytest.approx(steps, rel=0.08)
    if refused:
        with pytest.raises(DataError, match=r"a metre \(no unit that is known here"):
            judged(read, Reading(said))
    else:
        assert judged(read, Reading(said)).warning == warning


def test_a_unit_that_is_a_little_off_is_warned_of_though_hardly_anything_contradicts_it():
    read = deep(box_room.frames(), lambda d: d * 0.78)
    findings = judged(read)
    assert findings.frames.contradiction < DOUBTFUL and "they agree better" in findings.warning
    known = judged(read, Reading(1000 / 0.78)).warning
    assert "a metre (millimetres) they agree better" in known
    assert known.endswith("say [('depth_scale', 1000.0)]")


def test_what_is_right_is_told_from_what_was_said():
    """Axes and direction are named as they must be written, not as what is wrong with them."""
    opengl = posed(box_room.frames(), lambda p: p @ OPENGL)
    with pytest.raises(DataError, match=r"OpenCV .*say \[\('axes', 'opencv'\)\]"):
        judged(opengl, Reading(axes="opengl"))
    inverse = posed(box_room.frames(), np.linalg.inv)
    with pytest.raises(DataError, match=r"say \[\('poses', 'camera-to-world'\)\]"):
        judged(inverse, Reading(poses="world-to-camera"))
    tum = deep(box_room.frames(), lambda d: d / 5)
    with pytest.raises(DataError, match=r"say \[\('depth_scale', 1000.0\)\]"):
        judged(tum, Reading(5000.0))


def test_with_a_warning_it_goes_on():
    findings = judged(posed(box_room.frames(), np.linalg.inv), refuse=False)
    assert findings.warning.startswith("room: its depth maps contradict each other")
    assert findings.warning.endswith("say [('poses', 'world-to-camera')]")
    assert findings.record()["warning"] == findings.warning
    taken = sample(posed(box_room.frames(), np.linalg.inv))
    both = judge(refuse=False).surface(taken, box_room.surface(), findings)
    assert both.warning == findings.warning and both.surface.contradiction > 0.3  # one cause is said once


def test_a_doubt_about_the_depth_does_not_hide_that_the_mesh_cannot_be_right():
    """As of frames that hardly see the same things, whose depth is in another unit, beside a right mesh."""
    taken = sample(deep(box_room.frames(), lambda depth: 5 * depth))
    doubt = Findings(warning="room: its frames hardly see the same things")
    with pytest.raises(DataError, match="same things; its mesh contradicts its depth maps"):
        judge().surface(taken, box_room.surface(), doubt)
    assert judge().surface(sample(box_room.frames()), box_room.surface(), doubt).warning == doubt.warning


def test_what_no_reading_explains_is_refused_too():
    poses = [one.camera.pose for one in box_room.frames()]
    others = iter([poses[k] for k in (7, 2, 11, 4, 0, 9, 1, 6, 10, 3, 5, 8)])  # poses of other images
    with pytest.raises(
        DataError,
        match=r"in all units that are known here, .* each pose that of its image.*--depth-unit of an export",
    ):
        judged(posed(box_room.frames(), lambda pose: next(others)))


@pytest.mark.parametrize("metre", [1000, 4000, 16000])
def test_where_all_readings_are_worse_than_nothing_none_is_named(metre):
    """Of depth that was stretched to all of 16 bits, image by image, as much is seen past as is confirmed."""

    def stretched(depth):
        return 65534 * (depth - depth.min()) / np.ptp(depth) / metre

    with pytest.raises(DataError, match="its depth maps contradict each other"):
        judged(deep(box_room.frames(), stretched))


def test_depth_that_no_unit_makes_plausible():
    findings = judged(deep(box_room.frames(), lambda d: d * 1e-6))
    assert findings.warning.startswith("room: its frames hardly see the same things")


def test_noise_and_drift_pass():
    drifted, rng = drift(0.5, 0.01), np.random.default_rng(1)
    noisy = deep(posed(box_room.frames(), drifted), lambda d: d * rng.normal(1, 0.01, d.shape))
    assert not judged(noisy).warning


def drift(degrees, metres):
    rng = np.random.default_rng(1)

    def drifted(pose):
        turn = rng.normal(0, np.radians(degrees), 3)
        skew = np.array([[0, -turn[2], turn[1]], [turn[2], 0, -turn[0]], [-turn[1], turn[0], 0]])
        rotation, _ = np.linalg.qr((np.eye(3) + skew) @ pose[:3, :3])
        moved = pose.copy()
        moved[:3, :3] = rotation * np.sign(np.sum(rotation * pose[:3, :3], axis=0))
        moved[:3, 3] += rng.normal(0, metres, 3)
        return moved

    return drifted


def test_strong_drift_is_warned_of():
    findings = judged(posed(box_room.frames(), drift(4, 0.05)))
    assert "is depth registered to colour" in findings.warning and 0.08 < findings.frames.contradiction < 0.3


def test_frames_that_do_not_overlap_pass_with_a_note():
    around = box_room.frames(4)
    apart = [
        one if k == 0 else posed([one], lambda pose, k=k: moved_by(pose, 50 * k))[0]
        for k, one in enumerate(around)
    ]
    findings = judged(apart)
    assert findings.warning.startswith("room: its frames hardly see the same")


def test_a_camera_that_stood_still_hides_no_wrong_unit():
    """Where nearly nothing is covered, that which is covered has no weight: two equal frames always agree."""
    outward = [pose_of_outward(k, 15) for k in range(15)]
    measured = posed(box_room.frames_at([*outward, outward[0]]), moved(1000))
    found = sample(measured).frames()
    assert found.contradiction == 0 and found.share == 1 and found.open >= 200
    with pytest.raises(DataError, match=r"say \[\('scale', 0.001\)\]"):
        judged(measured)


def pose_of_outward(k, count):
    pose = box_room.pose_of(k, count)
    pose[:3, [0, 2]] *= -1
    return pose


def test_a_camera_that_only_turned_says_nothing_of_units():
    poses = [box_room.pose_of(k, 12) for k in range(12)]
    for pose in poses:
        pose[:3, 3] = 2, 1.5, 1.6
    turned = deep(box_room.frames_at(poses), lambda d: d / 5)
    assert not judged(turned).warning
    with pytest.raises(DataError, match=r"say \[\('axes', 'opengl'\)\]"):
        judged(posed(turned, lambda pose: pose @ OPENGL), Reading(5000.0))


def moved_by(pose, metres):
    pose = pose.copy()
    pose[0, 3] += metres
    return pose


def test_without_depth_there_is_nothing_to_say():
    assert judge().frames(None) == Findings() and Findings().record() == {} and str(Findings()) == ""
    assert judge().surface(None, box_room.surface(), Findings()) == Findings()


def test_a_surface_of_another_world_is_refused():
    taken = sample(box_room.frames())
    fine = judge().frames(taken)
    y_up = box_room.surface()[:, [0, 2, 1]] * [1, 1, -1]
    with pytest.raises(DataError, match=r"mesh contradicts its depth maps.*as \(x, -z, y\) it does not \(a"):
        judge().surface(taken, y_up, fine)
    with pytest.raises(DataError, match=r"as points whose unit is 0\.001 m it does not"):
        judge().surface(taken, box_room.surface() * 1000, fine)
    turned = box_room.surface() @ np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1]])
    with pytest.raises(DataError, match="in the world of the poses, unaligned and unscaled"):
        judge().surface(taken, turned, fine)
    assert judge(refuse=False).surface(taken, turned, fine).warning


def test_a_surface_that_is_a_point_in_a_corner_is_no_surface():
    taken = sample(box_room.frames())
    points = box_room.surface() / 1000  # all in the corner at the origin, which all frames confirm
    assert taken.surface(points).share > 0.95
    with pytest.raises(DataError, match="as points whose unit is 1000 m it does not"):
        judge().surface(taken, points, judge().frames(taken))
    block = box_room.surface()[box_room.surface()[:, 2] == 0] * [0.1, 0.1, 1] + [0.4, 1.4, 0]
    assert not judge().surface(taken, block, judge().frames(taken)).warning  # a part, which is right


def test_a_surface_that_fits_a_little_better_elsewhere_is_right():
    """Half of it is hidden, and where the cameras look it has holes: turned by 180 degrees it would be seen
    more often. That is no reason to refuse it."""
    centre = np.array([2, 1.5, 0], np.float32)
    ahead = posed([box_room.frames()[k] for k in (4, 5, 6, 7, 8)], lambda pose: from_centre(pose, centre))
    walls = box_room.surface() - centre
    holes = (walls[:, 0] > 0) & (np.arange(len(walls)) % 5 == 0)
    points = np.concatenate([walls[~holes], 1.5 * walls, 2 * walls])
    taken = sample(ahead)
    turned = taken.surface(points * [-1, -1, 1])
    findings = judge().surface(taken, points, judge().frames(taken))
    assert turned.confirmed > findings.surface.confirmed and findings.surface.share < 0.5
    assert not findings.warning


def from_centre(pose, centre):
    pose = pose.copy()
    pose[:3, 3] -= centre
    return pose


def test_a_mesh_of_few_vertices_is_compared_between_them(tmp_path):
    """A modelled room: eight corners, which no frame sees, and walls of two triangles."""
    folder = box_room.write_scan(tmp_path / "room")
    corner = np.array(list(itertools.product((0, 1), repeat=3)))
    wall = [np.flatnonzero(corner[:, axis] == side) for axis in range(3) for side in (0, 1)]
    face = np.array([quad[order] for quad in wall for order in ([0, 1, 2], [1, 3, 2])])
    rgb = np.zeros((8, 3), np.uint8)
    write_ply(folder / "mesh.ply", (corner * box_room.ROOM).astype(np.float32), rgb, face)
    _, findings = contradictions.read(Rgbd(tmp_path, "test"), "room")
    assert not findings.warning and findings.surface.share > 0.9
    write_ply(folder / "mesh.ply", (corner * 0.7 * box_room.ROOM).astype(np.float32), rgb, face)
    with pytest.raises(DataError, match="mesh contradicts its depth maps"):
        contradictions.read(Rgbd(tmp_path, "test"), "room")


def test_a_cloud_of_few_points_is_right_as_far_as_it_is_seen():
    taken = sample(box_room.frames())
    few = box_room.surface()[::150]
    assert len(few) == 42 and taken.surface(few).open < contradictions.ENOUGH
    assert not judge().surface(taken, few, Findings()).warning
    assert "hardly see its mesh" in judge().surface(taken, few * [1.4, 1.4, 1.4], Findings()).warning


def test_a_surface_that_no_frame_sees_is_warned_of():
    taken = sample(box_room.frames())
    far = box_room.surface() + np.float32(500)
    for points in (far, box_room.surface()[:1], 1e-9 * box_room.surface() + 500):
        assert "its depth maps hardly see its mesh" in judge().surface(taken, points, Findings()).warning


# ------------------------------------------------------------------------------------- of single frames


def of_each(measured) -> str:
    """What is warned of."""
    taken = sample(measured)
    return judge().each(completed(taken, measured), judge().frames(taken)).warning


def with_depth(measured, depth):
    """The frames with other depth maps, by their numbers."""
    return [replace(one, depth=depth[k]) if k in depth else one for k, one in enumerate(measured)]


def swapped(measured, a, b):
    return with_depth(measured, {a: measured[b].depth, b: measured[a].depth})


def in_use(measured):
    """The frames as a device measures them, with noise and drift."""
    rng = np.random.default_rng(2)
    return deep(posed(measured, drift(0.5, 0.01)), lambda d: d * rng.normal(1, 0.01, d.shape))


@pytest.mark.parametrize("count", [12, 50])
def test_frames_whose_depth_was_swapped_are_named(count):
    right = in_use(box_room.frames(count))
    a, b = count // 4, count // 4 + count // 3
    warning = of_each(swapped(right, a, b))
    assert warning.startswith(f"room: frames {a} (") and f" %) and {b} (" in warning
    assert warning.endswith(" %; are their depth maps or poses swapped?")
    assert of_each(right) == ""


def test_frames_that_are_not_compared_with_the_whole_scan_are_named_too():
    right = box_room.frames(50)
    a, b = (k for k in (11, 31) if str(k) not in sample(right).ids)
    assert f"frames {a} (" in of_each(swapped(right, a, b))


def test_a_frame_with_the_pose_of_another_is_named():
    right = in_use(box_room.frames())
    wrong = [replace(one, camera=right[5].camera) if k == 3 else one for k, one in enumerate(right)]
    warning = of_each(wrong)
    assert warning.startswith("room: frame 3 (") and "is its depth map or its pose that of another" in warning


@pytest.mark.parametrize("metres", [0.5, 1.0, 6.0])
def test_a_depth_map_of_one_distance_is_named(metres):
    right = in_use(box_room.frames())
    assert "frame 5 (" in of_each(with_depth(right, {5: np.full_like(right[5].depth, metres)}))


def test_many_frames_are_counted():
    right = in_use(box_room.frames(40))
    broken = with_depth(right, {k: np.full_like(right[k].depth, 0.5) for k in range(0, 40, 5)})
    warning = judge().each(completed(sample(broken), broken), Findings()).warning
    assert warning.startswith("room: frames 0 (") and " and 3 more contradict the others" in warning


def test_what_was_warned_of_before_is_said_too():
    right = in_use(box_room.frames())
    taken = sample(swapped(right, 3, 7))
    assert judge().each(taken, Findings(warning="room: first")).warning.startswith("room: first; frames 3 (")


def test_two_frames_that_contradict_each_other_are_not_told_apart():
    pair = box_room.frames()[:2]
    far = with_depth(pair, {1: pair[1].depth * 3})
    assert judge().each(sample(far), Findings()) == Findings() == judge().each(None, Findings())


def test_each_frame_of_a_large_scan_that_is_compared_is_looked_at():
    many = box_room.frames(WHOLE + 1)
    assert completed(sample(many), many).ids == sample(many).ids


# --------------------------------------------------------------------------------- of the reader rgbd


def test_a_scan_with_a_frame_of_its_own_clock_is_warned_of_by_its_reader(tmp_path):
    folder = box_room.write_scan(tmp_path / "room")
    (folder / "pose" / "3.txt").write_text((folder / "pose" / "5.txt").read_text())
    _, findings = contradictions.read(Rgbd(tmp_path, "test"), "room")
    assert f"{folder}: frame 3 (" in findings.warning


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"pose": np.linalg.inv}, '{"poses": "world-to-camera"}'),
        ({"pose": lambda one: one @ OPENGL}, '{"axes": "opengl"}'),
        ({"steps": lambda d: 5000 * d}, '{"depth_scale": 5000.0}'),
        ({"steps": lambda d: 1000 * along_rays(d)}, '{"depth_form": "ray"}'),
        ({"steps": lambda d: rotated(1000 * d)}, '{"depth_form": "rotated"}'),
        ({"pose": moved(10)}, '{"scale": 0.1}'),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_scan_is_right_once_it_says_what_it_was_told_to(tmp_path, written, said):
    folder = box_room.write_scan(tmp_path / "room", **written)
    scans = Rgbd(tmp_path, "test")
    with pytest.raises(DataError, match="room: its depth maps contradict") as error:
        contradictions.read(scans, "room")
    assert str(error.value).endswith(f"write {said} in {folder / 'capture.json'}")
    (folder / "capture.json").write_text(said)
    scene, findings = contradictions.read(scans, "room")
    assert not findings.warning and findings.frames.contradiction < 0.05
    assert findings.surface.contradiction < 0.05
    for frame, right in zip(scene.frames, box_room.frames(), strict=True):
        turned = "axes" not in said and "poses" not in said
        assert np.allclose(frame.camera.pose, right.camera.pose, atol=1e-6) or not turned
        assert np.allclose(frame.read_depth(), right.depth, atol=0.002)


def test_frames_that_were_written_from_cameras_of_arkit(tmp_path):
    """Of Polycam (OpenMask3D/openmask3d, issue 16): y is up, and cameras have OpenGL's axes."""
    arkit = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    folder = box_room.write_scan(tmp_path / "room", pose=lambda one: arkit @ one @ OPENGL)
    scans = Rgbd(tmp_path, "test")
    with pytest.raises(DataError, match=r'write \{"axes": "opengl"\} in .*capture\.json'):
        contradictions.read(scans, "room")
    (folder / "capture.json").write_text('{"axes": "opengl"}')
    scene, findings = contradictions.read(scans, "room")
    assert not findings.warning and np.allclose(scene.world[:3, 2], [0, 1, 0], atol=0.001)  # what was up


def test_depth_that_was_stretched_image_by_image(tmp_path):
    """To all of 16 bits (pengsongyou/openscene, issue 73): no unit makes it right."""

    def stretched(depth):
        return 65534 * (depth - depth.min()) / np.ptp(depth)

    box_room.write_scan(tmp_path / "room", steps=stretched)
    (tmp_path / "room" / "capture.json").write_text('{"depth_scale": 16000}')
    with pytest.raises(DataError, match="its depth maps contradict each other"):
        contradictions.read(Rgbd(tmp_path, "test"), "room")


def test_the_unit_of_poses_is_that_of_the_mesh(tmp_path):
    folder = box_room.write_scan(tmp_path / "room", pose=moved(1000))
    xyz = 1000 * box_room.surface()
    write_ply(folder / "mesh.ply", xyz, np.zeros((len(xyz), 3), np.uint8), np.array([[0, 1, 42]]))
    (folder / "capture.json").write_text('{"scale": 0.001}')
    scene, findings = contradictions.read(Rgbd(tmp_path, "test"), "room")
    assert np.allclose(scene.xyz, box_room.surface(), atol=1e-6) and not findings.warning
    assert findings.surface.share > 0.9


def test_a_scan_that_contradicts_itself_can_be_read_all_the_same(tmp_path):
    box_room.write_scan(tmp_path / "room", pose=lambda one: one @ OPENGL)
    scene, findings = contradictions.read(Rgbd(tmp_path, "test"), "room", refuse=False)
    assert len(scene.xyz) and "opengl" in findings.warning


# -------------------------------------------------------------- of another lens, and of frames in a row


def bent(measured, factor):
    """The frames with depth maps of a lens whose focal length is `factor` times as long as it is said."""
    for one in measured:
        matrix = box_room.matrix_of() * [[1 / factor, 1, 1], [1, 1 / factor, 1], [1, 1, 1]]
        yield replace(one, camera=replace(one.camera, intrinsics=matrix))


@pytest.mark.parametrize("factor", [0.7, 0.85, 1.2, 1.5])
def test_depth_of_another_lens_is_told_from_another_unit(factor):
    findings = judged(list(bent(box_room.walk(40), factor)), refuse=False)
    assert "register depth to colour, or correct the intrinsics" in findings.warning
    assert "steps of depth" not in findings.warning
    named = float(findings.warning.partition("focal lengths of depth ")[2].partition(" times")[0])
    assert named == pytest.approx(factor, rel=0.04)


def test_where_nothing_tells_a_lens_from_a_unit_both_are_named():
    """On a circle a room of another size looks much the same."""
    warning = judged(list(bent(box_room.frames(), 1.15)), refuse=False).warning
    assert "focal lengths of depth 1.1" in warning and "; or with" in warning and "steps of depth" in warning


def test_depth_of_far_another_lens_is_refused():
    with pytest.raises(DataError, match=r"focal lengths of depth 0\.5\d times as long"):
        judged(list(bent(box_room.walk(40), 0.55)))


@pytest.mark.parametrize(
    ("count", "part", "cut"),
    [
        (50, (0.8, 1.0), "jump at frame"),
        (50, (0.0, 0.24), "jump before frame"),
        (50, (0.3, 0.6), "and back before frame"),
        (100, (0.8, 1.0), "jump at frame"),
        (100, (0.0, 0.25), "jump before frame"),
    ],
)
def test_frames_after_a_jump_are_named(count, part, cut):
    first, end = (round(share * count) for share in part)
    step = np.eye(4)
    step[0, 3] = 0.6
    right = in_use(box_room.walk(count))
    lost = [posed([one], lambda p: step @ p)[0] if first <= k < end else one for k, one in enumerate(right)]
    warning = of_each(lost)
    named = warning.partition("frames ")[2].split(" contradict")[0].split(" to ")
    near = 1 if count <= WHOLE else count // 8  # frames that are compared are so far apart
    assert abs(int(named[0]) - first) <= near and abs(int(named[1]) - (end - 1)) <= near
    assert cut in warning and "tracking was lost" in warning
    assert of_each(right) == ""


def test_a_jump_is_not_taken_for_many_odd_frames():
    step = np.eye(4)
    step[:3, 3] = 1.4, 0.9, 0
    half = [
        posed([one], lambda p: step @ p)[0] if k >= 25 else one for k, one in enumerate(box_room.walk(50))
    ]
    taken = sample(half)
    warning = judge().each(completed(taken, half), judge().frames(taken)).warning
    assert "did the poses jump before frame 25" in warning and "swapped" not in warning


def test_parts_by_hand():
    """Of six frames the last two see past a half of what they have in common with the others."""
    confirmed, past = np.full((6, 6), 10.0), np.zeros((6, 6))
    confirmed[4:, :4] = past[4:, :4] = 5
    confirmed[:4, 4:] = past[:4, 4:] = 5
    for one in (confirmed, past):
        np.fill_diagonal(one, 0)
    pairs = Pairs(confirmed, past)
    assert pairs.parted(2, 10) == (0, 4, 0.5, 0.0)  # or the last two: the first is given
    assert pairs.parted(2, 100) is None
    assert pairs.without([4, 5]).parted(2, 10)[2] == 0
    assert np.isnan(pairs.contradictions()).all()  # all of fewer than 16 points


def test_poses_that_are_all_the_same_are_refused_if_depth_is_not():
    with pytest.raises(DataError, match=r"all its poses are one and the same: did tracking run\?"):
        judged(posed(box_room.frames(), lambda pose: np.eye(4)))
    still = [replace(one, id=str(k)) for k, one in enumerate(12 * box_room.frames()[:1])]
    assert not judged(still).warning  # a camera on a tripod


def test_left_handed_poses_are_named():
    """Those of Unity: x right, y up, z forward, in cameras and world."""
    hand = np.diag([1.0, -1, 1, 1])
    with pytest.raises(
        DataError, match=r"left-handed axes, as Unity's .* they do not .*second row and of the"
    ):
        judged(posed(box_room.walk(30), lambda pose: hand @ pose @ hand))


def test_frames_of_which_no_other_sees_anything_are_named():
    """Poses that lead out of the room contradict nothing."""

    def apart(measured):
        return judge().apart(sample(measured), len(measured), Findings()).warning

    measured = box_room.frames()
    assert not apart(measured)
    far = np.eye(4)
    far[:3, 3] = 50
    lost = [*measured[:9], *posed(measured[9:], lambda pose: far @ pose)]
    names = ", ".join(one.id for one in measured[9:])
    assert apart(lost).startswith(f"room: none of the other frames sees what 3 of 12 see ({names}), so their")
    assert not judge().apart(sample(lost), 100, Findings()).warning  # what lies between was not looked at


def test_a_depth_that_stands_for_no_reading_is_named():
    """As 8191 of the first Kinect's files. Other frames hardly look past it: there is a wall before it."""

    def filled(depth):
        depth = depth.copy()
        depth[:5, :10] = 8.191
        return depth

    right, wrong = sample(box_room.frames()), sample(deep(box_room.frames(), filled))
    warning = judge().filled(wrong, Findings()).warning
    assert warning.startswith(
        "room: 12 of 12 depth maps that were compared have the same largest depth, 8.191 m"
    )
    assert judge().filled(right, Findings()) == Findings()
    half = deep(box_room.frames()[:6], filled) + box_room.frames()[6:]
    assert not judge().filled(sample(half), Findings()).warning


def test_depth_maps_that_are_upside_down_are_named():
    """As left-handed poses, which depth maps alone do not tell from them."""
    over = deep(box_room.walk(30), lambda depth: depth[::-1])
    with pytest.raises(DataError, match=r"or depth maps that are upside down, they do not .*turn the depth"):
        judged(over)

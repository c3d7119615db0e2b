"""What can be opened, and where."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import anyscene
from anyscene.datasets import ply
from anyscene.errors import CheckpointError, DataError, StoreError
from anyscene.project import parameters, progress
from tests.builders import coloured_room, miniature
from tests.builders.capture import grid, write_ply, write_scan
from tests.builders.clouds_of_other_tools import WRITERS
from tests.builders.layouts import write_frames
from tests.builders.polycam import write_export
from tests.builders.wall import rolled, views

pytestmark = pytest.mark.integration

ENCODER = miniature.Spelling()


def opened(path, **more):
    return anyscene.open(path, encoder=ENCODER, **more)


@pytest.fixture
def network(rooms):
    """The path of a trained network."""
    return rooms / "models/distilled"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The current folder, which holds no project."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "artefact, source",
    [
        ("scenes", "ensembled"),
        ("superpoints", "ensembled"),
        ("labels", "ensembled"),
        ("fusion", "fusion"),
        ("projection/dense", "projection/dense"),
    ],
)
def test_an_artefact_by_its_path(rooms, elsewhere, artefact, source):
    cloud = opened(rooms / f"data/{artefact}/room0.zarr")
    assert (cloud.id, cloud.source) == ("room0", source)
    assert len(cloud.features) == len(cloud) > 1000 and cloud.truth is not None
    assert cloud.query("a bed", top=1)[0].mask.any()


def test_the_source_that_is_named(rooms, network):
    scenes = rooms / "data/scenes/room0.zarr"
    assert opened(scenes, source="fusion").source == "fusion"
    assert opened(scenes, source=network).source == "distilled"
    by_name, by_path = (opened(scenes, source=one).features for one in ("distilled", network))
    assert np.array_equal(by_name, by_path)
    with pytest.raises(StoreError, match=r"has features of fusion, not of distilled; open .*scenes"):
        opened(rooms / "data/fusion/room0.zarr", source="distilled")


def test_a_source_that_is_not_there_is_refused_at_once(rooms, tmp_path):
    for source in ("nonsense", "projection/nonsense", tmp_path):
        with pytest.raises(StoreError):
            opened("room0", project=rooms, source=source)
    with pytest.raises(StoreError, match="features of scenes that were imported"):
        opened(write_scan(tmp_path, "scan"), source="fusion")
    with pytest.raises(StoreError, match=r"nix: there are [^;]*distilled[^;]*; give one, or") as refused:
        opened(tmp_path / "scan", source="nix", project=rooms)
    assert "fusion" not in str(refused.value)
    shutil.copytree(rooms / "models/distilled", tmp_path / "broken")
    (tmp_path / "broken/model.safetensors").unlink()
    cloud = opened(tmp_path / "scan", source=tmp_path / "broken")
    with pytest.raises(CheckpointError):
        cloud.features  # noqa: B018


def test_a_scene_alone_is_asked_by_a_network(rooms, network, elsewhere):
    shutil.copytree(rooms / "data/scenes/room0.zarr", elsewhere / "alone.zarr")
    cloud = opened("alone.zarr", source=network)
    whole = opened(rooms / "data/scenes/room0.zarr", source=network)
    assert cloud.id == "alone" and np.array_equal(cloud.features, whole.features)
    assert len(cloud.superpoints) == len(cloud) and cloud.truth is None
    shutil.copytree(rooms / "data/fusion/room0.zarr", elsewhere / "features.zarr")
    with pytest.raises(StoreError, match=r"features.zarr: has no points"):
        opened("features.zarr", source=network)


def test_scenes_without_superpoints_are_divided(rooms, tmp_path):
    for name in ("scenes", "fusion"):
        shutil.copytree(rooms / f"data/{name}", tmp_path / f"data/{name}")
    cloud = opened(tmp_path / "data/fusion/room0.zarr")
    assert len(cloud.superpoints) == len(cloud) and len(cloud.query("a bed")) > 0


def test_a_scan_a_mesh_and_points_without_a_project(network, elsewhere):
    folder = write_scan(elsewhere, "scan")
    xyz, rgb, _, face = ply.read_mesh(folder / "mesh.ply")
    np.save("points.npy", np.column_stack([xyz, rgb]))
    clouds = {
        "scan": opened("scan", source=network),
        "mesh": opened("scan/mesh.ply", source=network),
        "points": opened("points.npy", source=network),
    }
    shutil.copytree(folder, elsewhere / "alone", ignore=lambda *_: ["color", "depth", "pose", "truth"])
    clouds["alone"] = opened("alone", source=network)
    clouds["memory"] = anyscene.from_points(xyz, rgb, name="memory", source=network, encoder=ENCODER)
    first = clouds["scan"]
    for name, cloud in clouds.items():
        assert (cloud.id, cloud.source) == (name, "distilled")
        assert np.array_equal(cloud.points, xyz) and np.array_equal(cloud.colours, rgb)
        assert np.array_equal(cloud.features, first.features) and cloud.query("a bed")[0].mask.any()
    assert np.array_equal(clouds["mesh"].superpoints, first.superpoints)
    assert np.array_equal(clouds["mesh"].faces, face) and clouds["points"].faces.shape == (0, 3)
    sign = clouds["points"].normals * [0, 1, 0]  # the wall is a plane of y
    np.testing.assert_allclose(np.abs(sign), np.abs(clouds["points"].normals), atol=1e-6)


@pytest.mark.parametrize("ending", [".las", ".laz", ".e57", ".xyz", ".obj", ".glb"])
def test_files_of_other_tools_are_what_their_points_are(network, elsewhere, ending):
    xyz, face = coloured_room.mesh(0.25)
    rgb = coloured_room.colour(xyz)
    WRITERS[ending](elsewhere / f"room{ending}", xyz, rgb, face)
    cloud = opened(f"room{ending}", source=network)
    said = {
        ".glb": "its surfaces do not tell what is up; 0.000,1.000,0.000 was taken, as its format",
        ".obj": "its surfaces do not tell what is up; z was taken; --up z says that this is right",
        ".e57": "its surfaces do not tell what is up; z was taken; --up z says that this is right",
    }.get(ending, "")
    assert cloud.id == "room" and cloud.source == "distilled"
    assert said in cloud.remarks if said else cloud.remarks == ""
    assert np.abs(cloud.points - xyz).max() < 1e-4 and np.array_equal(cloud.colours, rgb)
    assert np.array_equal(cloud.faces, face if ending in (".obj", ".glb") else face[:0])
    assert cloud.query("a bed")[0].mask.any()


def test_files_of_other_tools_know_the_way_back(network, elsewhere):
    """A cloud of a scanner on a map, and a mesh whose format has +y up."""
    utm = np.array([693000.25, 5337000.5, 520.125])
    xyz, face = coloured_room.mesh(0.25)
    rgb = coloured_room.colour(xyz)
    standing = np.stack([xyz[:, 0], xyz[:, 2], -xyz[:, 1]], 1)
    for name, written, own in (("a.las", xyz + utm, xyz + utm), ("a.glb", xyz, standing)):
        WRITERS[Path(name).suffix](elsewhere / name, written, rgb, face)
        cloud = opened(name, source=network)
        assert np.abs(cloud.points).max() <= 4 and ("moved to the origin" in cloud.remarks) == (
            name == "a.las"
        )
        np.testing.assert_allclose(cloud.surface.xyz_in("source"), own, rtol=0, atol=1e-4)


def test_a_mesh_whose_triangles_share_no_vertices_is_what_it_would_be(network, elsewhere):
    xyz, face = coloured_room.mesh(0.1)
    xyz = xyz.astype(np.float32)
    parts = {"whole": (xyz, face), "soup": coloured_room.soup(xyz, face)}
    for name, (places, triangles) in parts.items():
        ply.write_mesh(elsewhere / f"{name}.ply", places, coloured_room.colour(places), triangles)
    whole, soup = (opened(f"{name}.ply", source=network) for name in parts)
    assert len(soup) == face.size and soup.superpoints.max() == whole.superpoints.max() > 5
    np.testing.assert_allclose(soup.features, whole.features[face.ravel()], atol=1e-4)
    one, other = (cloud.query("a bed", top=9) for cloud in (whole, soup))
    assert [group.shows for group in one] == [group.shows for group in other]
    assert all(group.area > 0 for group in one)
    for group, same in zip(one, other, strict=True):
        assert np.array_equal(same.mask, group.mask[face.ravel()])
    np.testing.assert_allclose([group.area for group in other], [group.area for group in one], rtol=1e-4)


def test_a_file_without_colours_is_grey_and_says_so(network, elsewhere):
    xyz, face = coloured_room.mesh(0.25)
    WRITERS[".stl"](elsewhere / "room.stl", xyz, np.zeros(xyz.shape, np.uint8), face)
    cloud = opened("room.stl", source=network)
    assert cloud.remarks.startswith("room.stl has no colours: its points are grey")
    assert set(cloud.colours.ravel().tolist()) == {128} and len(cloud.faces) == len(face)
    whole = anyscene.from_points(xyz, cloud.colours[: len(xyz)], faces=face, source=network, encoder=ENCODER)
    assert cloud.superpoints.max() == whole.superpoints.max()  # its triangles have vertices of their own


def test_a_mesh_in_a_folder_or_an_archive(network, elsewhere):
    xyz, face = coloured_room.mesh(0.25)
    rgb = coloured_room.colour(xyz)
    (elsewhere / "scan/textured").mkdir(parents=True)
    WRITERS[".obj"](elsewhere / "scan/textured/mesh.obj", xyz, rgb, face)
    (elsewhere / "scan/readme.txt").write_text("made by a phone")
    (elsewhere / "scan/._mesh.obj").write_bytes(b"of another system")
    shutil.make_archive("packed", "zip", "scan")
    for name in ("scan", "packed.zip"):
        cloud = opened(name, source=network)
        assert cloud.id == Path(name).stem and np.array_equal(cloud.faces, face)
        np.testing.assert_allclose(cloud.points, xyz, atol=1e-6)
    WRITERS[".glb"](elsewhere / "scan/mesh.glb", xyz, rgb, face)  # the same in another form: one is taken
    assert np.array_equal(opened("scan", source=network).faces, face)
    WRITERS[".obj"](elsewhere / "scan/other.obj", xyz, rgb, face)
    with pytest.raises(DataError, match=r"scan: holds several meshes or clouds \(.*other.obj.*\); give one"):
        opened("scan")
    (elsewhere / "broken.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"broken.zip: not a readable archive"):
        opened("broken.zip")


def test_normals_of_a_scanner_are_turned_to_where_it_stood(network, elsewhere):
    """Outside a block, the middle is on the wrong side of its surface."""
    side = np.arange(0, 1.01, 0.05)
    x, y = (each.ravel() for each in np.meshgrid(side, side))
    top = np.stack([x, y, 0 * x + 1], 1)
    wall = np.stack([x, 0 * x, y], 1)
    xyz = np.concatenate([top, wall])
    pye57 = pytest.importorskip("pye57")
    with pye57.E57("block.e57", mode="w") as file:
        scanner = np.array([0.5, -3.0, 4.0])
        local = dict(zip(("cartesianX", "cartesianY", "cartesianZ"), (xyz - scanner).T, strict=True))
        file.write_scan_raw(local, translation=scanner)
    cloud = opened("block.e57", source=network)
    np.testing.assert_allclose(cloud.normals[200], [0, 0, 1], atol=1e-3)
    np.testing.assert_allclose(cloud.normals[len(top) + 200], [0, -1, 0], atol=1e-3)


def test_an_export_is_imported(network, elsewhere):
    write_export(elsewhere / "export", views([rolled(yaw=yaw) for yaw in (-15, 0, 15)]))
    cloud = opened("export", source=network)
    assert len(cloud) > 100 and "frames of" in cloud.remarks
    thinned = opened("export", source=network, every=2)
    assert thinned.remarks.startswith("2 frames")
    xyz, face = grid(6)
    write_ply(elsewhere / "export/mesh.ply", xyz, np.zeros((36, 3), np.uint8), face)
    assert len(opened("export", source=network)) == len(cloud)  # a mesh beside it makes it no bare mesh


def test_progress_of_a_capture_is_shown_where_it_is_asked_for(network, elsewhere, monkeypatch, capfd):
    monkeypatch.setattr(progress, "BRIEF", 0)
    write_export(elsewhere / "export", views([rolled(yaw=yaw) for yaw in (-15, 0, 15)]))
    opened("export", source=network)
    assert "frames" not in capfd.readouterr().err
    opened("export", source=network, show_progress=True)
    lines = [line.split(",")[0] for line in capfd.readouterr().err.splitlines()]
    labels = ("frames written", "frames read", "frames compared")
    assert lines == [f"{label}: {done}/3" for label in labels for done in (1, 2, 3)]


def test_the_most_refined_network_of_the_project(rooms, elsewhere):
    folder = write_scan(elsewhere, "scan")
    assert opened(folder, project=rooms).source == "ensembled"
    assert opened(folder, project=rooms / "params.yaml").source == "ensembled"
    cloud = opened(folder)
    assert len(cloud.points) == 36
    with pytest.raises(StoreError, match="no trained network"):
        cloud.query("a bed")


def test_where_nothing_was_imported_a_scene_is_had_by_a_run(elsewhere):
    with pytest.raises(DataError, match="no scene of a project; check the path"):
        opened("room0")
    shutil.copy(parameters.DEFAULTS, elsewhere / "params.yaml")
    with pytest.raises(DataError, match="no scene of a project; run `dvc repro`"):
        opened("room0")
    with pytest.raises(DataError, match="no scene of a project; check the path"):
        opened("room0.ply")


def test_units_and_up_of_a_mesh(network, elsewhere):
    xyz, face = grid(6)
    rgb = np.zeros((36, 3), np.uint8)
    standing = np.column_stack([xyz[:, 0], -xyz[:, 2], xyz[:, 1]])  # y down
    write_ply(elsewhere / "mesh.ply", 1000 * standing, rgb, face)
    with pytest.raises(
        DataError, match=r"mesh.ply: its longest side would be 1000 m, .*, 1 m in millimetres"
    ):
        opened("mesh.ply")
    options = anyscene.ExportOptions(scale=0.001, up=np.array([0.0, -1.0, 0.0]))
    cloud = opened("mesh.ply", options=options)
    np.testing.assert_allclose(cloud.points[:, 2], xyz[:, 2], atol=1e-6)
    np.testing.assert_allclose(np.abs(cloud.normals[:, 2]), 0, atol=1e-6)
    with pytest.raises(DataError, match="has no images to tell what is up"):
        opened("mesh.ply", options=anyscene.ExportOptions(scale=0.001, up="images"))
    with pytest.raises(DataError, match="leave out --depth-unit: it has no images"):
        opened("mesh.ply", options=anyscene.ExportOptions(depth_unit=0.001))
    with pytest.raises(DataError, match="leave out --every: it has no images"):
        opened("mesh.ply", every=2)


@pytest.mark.parametrize(
    "array, wrong",
    [
        (np.zeros((20, 3)), r"numbers \[N, 6\].*float64\[20, 3\]"),
        (np.array([["a"] * 6]), r"numbers \[N, 6\]"),
        (np.full((20, 6), 0.5), "colours, whole numbers"),
        (np.full((20, 6), 256), "colours, whole numbers"),
        (np.ones((20, 6)), "colours, whole numbers"),
        (np.zeros((0, 6)), r"points must be numbers \[N, 3\]"),
        (np.full((20, 6), np.nan), "colours, whole numbers"),
    ],
)
def test_arrays_that_are_no_points(elsewhere, array, wrong):
    np.save("a.npy", array)
    with pytest.raises(DataError, match=wrong):
        opened("a.npy")


def test_values_that_cannot_be(elsewhere):
    rng = np.random.default_rng(0)
    points, colours = rng.random((20, 3)), np.zeros((20, 3), np.uint8)

    def refused(wrong, *arrays, **more):
        with pytest.raises(DataError, match=wrong):
            anyscene.from_points(*arrays, **more)

    broken = points.copy()
    broken[3, 1] = np.nan
    refused("1 points are NaN", broken, colours)
    refused("colours must be uint8", points, colours / 255)
    refused(r"colours must be uint8 0..255 of \[20, 3\], not uint8\[19, 3\]", points, colours[1:])
    refused("faces must be integers", points, colours, faces=np.zeros((4, 4), int))
    refused(r"faces name points outside 0\.\.19; mend", points, colours, faces=np.array([[-1, 1, 2]]))
    refused(r"faces name points outside 0\.\.19; mend", points, colours, faces=np.array([[0, 1, 20]]))
    refused("normals must be finite", points, colours, normals=points[1:])
    refused("longest side would be 0.0009", points / 1000, colours)
    refused("15 points without normals or faces; to tell", points[:15], colours[:15])
    for scale in (0, -1.0, np.nan, 1e-46, 1e30):
        with pytest.raises(DataError, match=r"a scale of .*: give 1e-09 to 1e\+09, the metres of a unit"):
            anyscene.from_points(points, colours, scale=scale)
    assert len(anyscene.from_points(points / 1000, colours, scale=1.0)) == 20


def test_what_is_not_there_is_named(rooms, elsewhere):
    with pytest.raises(StoreError, match="room7: no such scene; imported are room0"):
        opened("room7", project=rooms)
    with pytest.raises(StoreError, match="; nor is there a file or a folder of this name"):
        opened("room7", project=rooms)
    with pytest.raises(DataError, match=r"nowhere.ply: no such file or folder"):
        opened("nowhere.ply", project=rooms)
    with pytest.raises(DataError, match="some/folder: no such file or folder"):
        opened("some/folder")
    with pytest.raises(DataError, match="leave out --every: room0 is imported already"):
        opened("room0", project=rooms, every=2)
    with pytest.raises(DataError, match=r"room0.zarr is an artefact"):
        opened(rooms / "data/scenes/room0.zarr", every=2)


def test_a_path_that_leads_nowhere_is_refused_before_torch_is_imported(elsewhere):
    code = """
import sys
import zipfile
import anyscene
try:
    anyscene.open("nowhere")
except anyscene.PipelineError as error:
    print("torch" in sys.modules, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False nowhere: no such file or folder")


def test_a_recording_in_the_layout_of_a_data_set(rooms, network, elsewhere, tmp_path):
    write_frames(tmp_path / "kinect", views([rolled(), rolled(yaw=-20.0), rolled(yaw=5.0)]))
    cloud = opened(tmp_path / "kinect", source=network)
    assert len(cloud) > 1000 and "3 frames of 96x64; 3 with depth" in cloud.remarks


def test_frames_of_a_scan_that_cannot_be_used_are_said(rooms, network, elsewhere, tmp_path):
    folder = write_scan(tmp_path, "scan", frames=4)
    (folder / "pose" / "1.txt").unlink()
    (folder / "color" / "2.png").write_bytes(b"")
    remarks = opened(folder, source=network).remarks
    first, *others = remarks.splitlines()
    assert first == "left out 2 of 4 frames: 1 no pose (1); 1 image not readable (2)"
    assert others[0] == "depth against depth: agree 100.0 %, seen past 0.0 %, hidden 0.0 %"


def test_an_archive_whose_bytes_have_changed_is_named(elsewhere):
    """Its compressed bytes say nothing, then what they say is not what its checksum says."""
    with zipfile.ZipFile("room.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("room.obj", "v 0 0 0\n" * 99)
    whole = (elsewhere / "room.zip").read_bytes()
    for place in (38, 40, 44):
        (elsewhere / "room.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with pytest.raises(DataError, match=r"room\.zip: not a readable archive"):
            opened("room.zip")


def test_a_scan_in_an_archive_is_the_scan(rooms, elsewhere, network):
    """Not the mesh alone that is in it."""
    write_scan(elsewhere, "scan", mesh=False, annotated=False)
    shutil.make_archive("flat", "zip", "scan")
    shutil.make_archive("folder", "zip", ".", "scan")
    points = opened("scan", source=network).points
    for name in ("flat.zip", "folder.zip"):
        np.testing.assert_array_equal(opened(name, source=network).points, points)
    (elsewhere / "scan/intrinsics.txt").write_text("1 2 3")
    shutil.make_archive("broken", "zip", ".", "scan")
    with pytest.raises(DataError, match=r"broken\.zip/intrinsics\.txt: expected 3x3"):
        opened("broken.zip", source=network)

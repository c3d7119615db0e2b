"""A room of the demo as other tools and captures would store it: the answers are those of the room itself."""

import json
from dataclasses import replace

import numpy as np
import pytest
from plyfile import PlyData
from typer.testing import CliRunner

import anyscene
from anyscene.cli import predict, query, view
from anyscene.datasets import ply
from anyscene.project import parameters
from anyscene.show.viewer import page as viewer_page
from anyscene_demo.world import make_world
from tests.builders import REPOSITORY
from tests.builders.clouds_of_other_tools import WRITERS

pytestmark = pytest.mark.integration

STUDENT = REPOSITORY / "models/demo/student"
ROOM = "val_000"
SUPERPOINTS, ACCURACY, CHAIRS = 597, 86.0, 2.11  # of the room itself: count, percent, square metres
UTM = np.array([691_234.0, 5_334_567.0, 512.0])  # in Munich, metres


@pytest.fixture(scope="module")
def settings():
    return parameters.load(REPOSITORY / "params.yaml")


@pytest.fixture(scope="module")
def room(tmp_path_factory, settings):
    """The folder of val_000, as the demo's world has it."""
    folder = tmp_path_factory.mktemp("world") / "world"
    make_world(replace(settings.world, train_rooms=0, val_rooms=1), folder, workers=1)
    return folder / ROOM


@pytest.fixture(scope="module")
def mesh(room):
    return ply.read(room / "mesh.ply")


@pytest.fixture(scope="module")
def truth(room):
    return np.load(room / "truth/vertex_label.npy")


def opened(path, **more):
    return anyscene.open(path, source=STUDENT, project=REPOSITORY / "params.yaml", **more)


def accuracy(cloud, truth, settings):
    """Percent of the annotated points whose class is right."""
    found, known = cloud.segment(settings.vocabulary), truth >= 0
    return 100 * np.mean(found[known] == truth[known])


def chairs(cloud):
    """Square metres of the first that `a chair` finds."""
    return cloud.query("a chair")[0].area


def unwelded(mesh, corners):
    """(the mesh with a vertex of its own for each corner b1[F, 3] of a face that is marked; for each of its
    vertices the one of the mesh that it was)."""
    face, added = mesh.face.copy(), mesh.face[corners]
    face[corners] = len(mesh.xyz) + np.arange(len(added))
    return face, np.concatenate([np.arange(len(mesh.xyz)), added])


def of_each_triangle(mesh, rng):
    return unwelded(mesh, np.ones(mesh.face.shape, bool))


def along_seams(mesh, rng):
    """Along four planes through the room, as an atlas of textures cuts it."""
    centre = mesh.xyz[mesh.face].mean(1)
    plane = rng.normal(size=(4, 3))
    side = (centre - centre.mean(0)) @ plane.T > 0
    return unwelded(mesh, np.repeat(side.any(1)[:, None], 3, axis=1))


def test_the_room_itself(room, truth, settings):
    cloud = opened(room)
    assert cloud.superpoints.max() + 1 == SUPERPOINTS
    assert accuracy(cloud, truth, settings) == pytest.approx(ACCURACY, abs=0.5)
    assert chairs(cloud) == pytest.approx(CHAIRS, abs=0.005)


@pytest.mark.parametrize("doubled", [of_each_triangle, along_seams])
def test_doubled_vertices_change_nothing(doubled, mesh, truth, settings, tmp_path):
    face, vertex = doubled(mesh, np.random.default_rng(0))
    assert len(vertex) > 1.2 * len(mesh.xyz)
    ply.write_mesh(tmp_path / "room.ply", mesh.xyz[vertex], mesh.rgb[vertex], face)
    cloud = opened(tmp_path / "room.ply")
    used = np.unique(face)  # a vertex that no face has any more is a point of its own
    assert len(np.unique(cloud.superpoints[used])) == SUPERPOINTS
    found = cloud.segment(settings.vocabulary)
    back = np.full(len(mesh.xyz), -1)
    back[vertex[used]] = found[used]
    seen = (truth >= 0) & np.isin(np.arange(len(truth)), vertex[used])
    assert 100 * np.mean(back[seen] == truth[seen]) == pytest.approx(ACCURACY, abs=0.5)
    assert chairs(cloud) == pytest.approx(CHAIRS, abs=0.005)


def test_coordinates_of_a_map_change_nothing(room, mesh, truth, settings, tmp_path):
    """In single precision two numbers so large differ by half a metre."""
    ply.write_mesh(tmp_path / "room.ply", mesh.xyz + UTM, mesh.rgb, mesh.face)
    cloud, at_home = opened(tmp_path / "room.ply"), opened(room)
    assert accuracy(cloud, truth, settings) == pytest.approx(ACCURACY, abs=0.5)
    assert len(np.unique(cloud.superpoints)) == pytest.approx(SUPERPOINTS, abs=3)
    there, here = cloud.query("a chair", world="source")[0], at_home.query("a chair", world="source")[0]
    np.testing.assert_allclose(there.centre - UTM, here.centre, atol=0.01)


# Points without faces are grouped by their neighbours, into larger groups with other edges.
OTHER_TOOLS = {".glb": (SUPERPOINTS, CHAIRS), ".las": (300, 2.22), ".e57": (300, 2.22)}


@pytest.mark.parametrize("ending", OTHER_TOOLS)
def test_the_room_of_other_tools_is_labelled_asked_and_looked_at(
    ending, mesh, truth, settings, tmp_path, monkeypatch
):
    superpoints, area = OTHER_TOOLS[ending]
    path, known, shown = tmp_path / f"room{ending}", truth >= 0, []
    WRITERS[ending](path, mesh.xyz, mesh.rgb, mesh.face)

    def page(scenes, scene, open_view, port, dark):
        shown.append(open_view(scene))
        raise KeyboardInterrupt

    monkeypatch.setattr(viewer_page, "Page", page)
    monkeypatch.chdir(tmp_path)

    def run(command, *more):
        words = [str(path), *more, "--source", str(STUDENT), "--params", str(REPOSITORY / "params.yaml")]
        return CliRunner().invoke(command.app, words)

    done = run(predict, "--out", "labels.ply")
    assert done.exit_code == 0, done.output
    found = np.asarray(PlyData.read(tmp_path / "labels.ply")["vertex"]["label"])
    assert 100 * np.mean(found[known] == truth[known]) == pytest.approx(ACCURACY, abs=0.5)
    done = run(query, "a chair", "--json", "found.json")
    assert done.exit_code == 0, done.output
    (answer,) = json.loads((tmp_path / "found.json").read_text())["queries"]
    assert answer["matches"][0]["area"] == pytest.approx(area, abs=0.02)
    run(view)
    assert len(shown[0].xyz) == len(mesh.xyz)
    cloud = opened(path)
    assert len(np.unique(cloud.superpoints)) == pytest.approx(superpoints, abs=0 if ending == ".glb" else 10)

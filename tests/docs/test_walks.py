"""The walks of docs/architecture.md list the files that a thing passes, all of them and no others."""

import ast
import fnmatch
import json
import re

import pytest
from typer.testing import CliRunner

from anyscene.cli import query
from anyscene.project import parameters
from stages import fusion, projection, report, scenes, superpoints, training
from tests.builders import REPOSITORY, small_demo, walks
from tests.builders.capture import write_scans
from tests.builders.project import Project

pytestmark = pytest.mark.integration

VOCABULARY = ("wall", "floor", "chair", "table")
TAU, FRAME, SUPERPOINT, TEXT, PARAMETER = range(5)

COMMANDS = (  # what every command does, whatever passes
    *("cli/command.py", "cli/refusals.py", "cli/named.py"),
    *(
        f"project/{name}.py"
        for name in ("timing", "progress", "device", "digests", "freshness", "stages", "outputs", "caches")
    ),
    *("project/console.py", "project/index.py"),
    "weights/reading.py",  # hashes of weights
)
CHECKS = (  # of all parameters, when they are read
    *("project/registry.py", "weights/catalogue.py", "segmenters/*/__init__.py"),
    *("datasets/*/reader.py", "learning/objectives/*/__init__.py", "learning/objectives/distillation.py"),
)
FREE = {  # what runs besides, by the reason that the page gives
    FRAME: (
        *("project/parameters.py", "project/layout.py", "capability/measured.py"),
        *("text/__init__.py", "text/kept.py", "text/limits.py", "text/remembering.py"),  # from the side
        *("datasets/ply.py", "datasets/whole_numbers.py", "weights/described.py"),
        *(
            "datasets/geometry/*.py",
            "datasets/seen_by_frames.py",
            "datasets/colour_agreement.py",
            "datasets/up.py",
            "datasets/walls.py",
        ),  # the points, from the side
        *("datasets/entry.py", "segmenters/entry.py", "anyscene_demo/segmenters/entry.py"),  # freshness
        "segmenters/precomputed/image_index.py",
        *("anyscene_demo/segmenters/backbone.py", "anyscene_demo/segmenters/loading.py"),  # below the class
    ),
    SUPERPOINT: (
        *("project/parameters.py", "project/layout.py", "networks/checkpoint.py", "learning/older.py"),
        *(
            f"learning/engine/{name}.py"
            for name in ("checkpoint", "curve", "processes", "recent", "sampler", "schedule")
        ),
        "networks/sparse/*.py",  # below the class of the network
    ),
    TEXT: (
        *("tasks/truth.py", "datasets/label_sets/__init__.py", "datasets/raw_files.py"),  # from the side
        "cli/options.py",
        *(
            "networks/sparse/*.py",
            "show/viewpoint.py",
            "show/framing.py",
            "show/palette.py",
            "show/picture_files.py",
        ),  # below
    ),
    PARAMETER: ("project/parameters.py", "cli/options.py"),
}


def page():
    """(number of files, the files) of every walk."""
    text = (REPOSITORY / "docs/architecture.md").read_text()
    section = text.partition("\n## Five walks\n")[2].partition("\n## ")[0]
    found = []
    for walk in re.split(r"\n(?=\*\*)", section)[1:]:
        count = re.match(r"\*\*[^*]+\*\* \((\d+)\)", walk)
        assert count, walk[:60]
        found.append((int(count[1]), re.findall(r"`([\w/.]+\.(?:py|yaml|j2))`", walk.partition("\n\n")[0])))
    return found


def run(stage, *arguments):
    result = CliRunner().invoke(stage.app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """The calls of each walk."""
    folder = tmp_path_factory.mktemp("walks")
    project = Project.create(folder)
    write_scans(folder / "raw", train=["a"], val=["b"])
    small_demo.write(folder / "weights")
    entry = parameters.read(folder / "params.yaml")["training"]["distilled"]
    entry |= {"from": "random", "batch_norm": "own", "steps": 1, "batch": 1, "warmup": 0}
    project.change(
        dataset={"root": "raw", "name": "small"},
        projection={"width": 32, "height": 24, "border": 1, "tolerance": 0.25},
        segmenters={"names": ["dense"], "weights": "weights", "batch": 2},
        superpoints={"min_vertices": 5},
        network={"variant": "14A", "width": 0.25, "voxel": 0.15},
        report={"scenes": 1},
        training={"distilled": entry},
        vocabulary=list(VOCABULARY),
    )
    measured = {"model": "dense", "vocabulary": VOCABULARY, "capability": [0.5] * len(VOCABULARY)}
    (folder / "data/capability").mkdir(parents=True)
    (folder / "data/capability/dense.json").write_text(json.dumps(measured))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with walks.followed() as frame:
            run(scenes)
        run(superpoints)
        with walks.followed() as projected:
            run(projection, "dense")
        with walks.followed() as fused:
            run(fusion)
        with walks.followed() as trained:
            run(training, "distilled")
        with walks.followed() as asked:
            run(query, "b", "a chair", "--png", "found.png")
        with walks.followed() as shown:
            run(report)
    return {
        FRAME: frame.ran | projected.ran | fused.ran,
        SUPERPOINT: trained.ran | (fused.ran & {"fusion/fuse_scenes.py"}),  # which writes it
        TEXT: asked.ran,
        PARAMETER: shown.given,
    }


def test_a_walk_has_as_many_files_as_it_says():
    assert len(page()) == 5
    for count, files in page():
        assert count == len(files) == len(set(files))


@pytest.mark.parametrize("walk", [FRAME, SUPERPOINT, TEXT, PARAMETER])
def test_every_file_of_a_walk_works_and_no_other(calls, walk):
    listed = set(page()[walk][1])
    idle = {file for file in listed - calls[walk] if not _declares(file)}
    assert not idle, "listed, and nothing of it runs"
    free = (*COMMANDS, *CHECKS, *FREE[walk])
    missing = {file for file in calls[walk] - listed if not any(fnmatch.fnmatch(file, one) for one in free)}
    assert not missing, "runs, and is neither listed nor left out"


def _declares(file):
    """Whether a file has an entry, which the walk passes as a value."""
    places = (REPOSITORY / "pipeline/anyscene" / file, REPOSITORY / "pipeline" / file)
    return any(place.is_file() and "\nENTRY = " in place.read_text() for place in places)


def test_tau_is_named_in_the_files_of_its_walk():
    """Beside them the ablation, which fuses again; and the stage file, which passes parameters on."""
    named = {
        walks.named(str(file))
        for folder in ("pipeline", "stages")
        for file in sorted((REPOSITORY / folder).rglob("*.py"))
        if "tau" in (text := file.read_text()) and any(map(_is_tau, ast.walk(ast.parse(text))))
    }
    assert named - {"study/ablation.py"} == set(page()[TAU][1]) - {"params.yaml", "stages/fusion.py"}


def _is_tau(node):
    """Whether a field, a variable, an attribute or a keyword is called so."""
    return "tau" in (getattr(node, kind, None) for kind in ("id", "attr", "arg"))

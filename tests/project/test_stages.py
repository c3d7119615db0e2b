"""Stages are declared once, and what they declare is what they use."""

import ast
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from anyscene.errors import StoreError
from anyscene.project import freshness, layout, parameters, stages
from anyscene.project.stages import Stage
from anyscene.show.report import page
from tests.builders import REPOSITORY

pytestmark = pytest.mark.integration

DECLARED = stages.declared(REPOSITORY / "stages")
PARAMS = parameters.read(REPOSITORY / "params.yaml")
HOW_NOT_WHAT = {  # they change how fast or where, not what comes out
    *("runtime.workers", "runtime.device", "runtime.device_memory_gib", "runtime.memory_gib"),
    *("runtime.checkpoint_seconds", "runtime.failures", "segmenters.batch"),
}
BY_CONTENT = {  # what they name counts, by content; sections of entries count where the entry is used
    *("dataset.root", "segmenters.weights"),
    *(
        "dataset.scannet",
        "dataset.matterport",
        "dataset.nuscenes",
        "segmenters.lseg",
        "segmenters.maskclip",
        "segmenters.seem",
    ),
}


def test_dvc_yaml_is_as_declared():
    said = (REPOSITORY / "dvc.yaml").read_text()
    assert said == stages.dvc_yaml(DECLARED), "run `anyscene stages --write`"


def test_stages_stand_in_the_order_in_which_data_flow():
    """Each after what it reads; of several, first the one that most others depend on, then by name."""
    assert list(DECLARED) == [
        *("world", "scenes", "synthesis", "capability", "projection", "superpoints", "fusion"),
        *("labels", "training", "evaluation", "report"),
    ]


def test_the_runs_before_a_stage_are_those_that_dvc_knows():
    params = parameters.load(REPOSITORY / "params.yaml")
    found = stages.before("report", DECLARED, params)
    assert found[-3:] == ("training@distilled", "training@ensembled", "evaluation")
    assert {run.partition("@")[0] for run in found} == set(DECLARED) - {"report"}
    assert {run for run in found if "@" in run} == {
        *(f"{stage}@{model}" for stage in ("projection", "capability") for model in ("dense", "mask")),
        *("training@distilled", "training@ensembled"),
    }
    assert stages.before("superpoints", DECLARED, params) == ("world", "scenes")


def test_the_world_of_the_demo_is_no_stage_of_other_scans():
    params = parameters.load(REPOSITORY / "params.yaml")
    params = dataclasses.replace(params, dataset=dataclasses.replace(params.dataset, root="scans"))
    assert stages.before("labels", DECLARED, params) == ("scenes",)


def test_stages_that_read_what_they_write_in_a_circle_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "circling"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for name, reads in (("one", "data/two"), ("two", "data/one")):
        (folder / f"{name}.py").write_text(
            "from anyscene.project.stages import Stage\n"
            f"STAGE = Stage({name!r}, writes=('data/{name}',), reads=({reads!r},))\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StoreError, match="one, two read what they write, in a circle"):
        stages.declared(folder)


def test_where_there_are_no_stages_that_is_said(tmp_path):
    with pytest.raises(StoreError, match="no stages here; run in a clone"):
        stages.declared(tmp_path / "stages")


def test_every_parameter_belongs_to_a_stage():
    declared = {
        name.replace("training.${key}", "training")
        for one in DECLARED.values()
        for name in one.parameters
        if one.name != "report"  # which shows them all
    } | {"report"}
    keys = {
        f"{section}.{key}" if isinstance(values, dict) else section
        for section, values in PARAMS.items()
        for key in (values if isinstance(values, dict) else [None])
    }
    unused = {key for key in keys if key not in declared and key.split(".")[0] not in declared}
    assert unused == HOW_NOT_WHAT | BY_CONTENT


def test_the_report_follows_every_parameter_that_it_shows():
    shown = PARAMS.keys() - {*page.UNSHOWN, "report"}
    assert set(DECLARED["report"].parameters) == {*shown, "report"}


def test_declared_parameters_exist():
    for stage in DECLARED.values():
        for key in stage.parameters:
            section, _, entry = key.partition(".")
            assert section in PARAMS, (stage.name, key)
            assert not entry or entry == "${key}" or entry in PARAMS[section], (stage.name, key)


def test_sections_are_those_of_the_parameters():
    assert set(PARAMS) == set(parameters.Params.__annotations__)


def test_what_is_computed_scene_by_scene():
    by_scene = {"scenes", "labels", "superpoints", "projection", "synthesis", "fusion"}
    assert {stage.name for stage in DECLARED.values() if stage.by_scene} == by_scene


def test_dvc_removes_no_output_before_a_stage_runs():
    """One that fails would lose what it wrote before."""
    entries = yaml.safe_load(stages.dvc_yaml(DECLARED))["stages"]
    assert entries.keys() == {"freshness", *DECLARED}
    for name, entry in entries.items():
        body = entry.get("do", entry)
        outputs = [out for kind in ("outs", "metrics") for out in body.get(kind, ())]
        kept = [out for out in outputs if not str(out).startswith(str(layout.INDEX))]
        assert kept and all(options["persist"] for out in kept for options in out.values()), name
        folders = [Path(*out) for out in kept] if name in DECLARED and DECLARED[name].by_scene else []
        assert [out for out in outputs if out not in kept] == [str(layout.index(one)) for one in folders]


def test_annotation_is_read_by_evaluation_report_and_by_what_asks_for_it():
    readers = {name for name, stage in DECLARED.items() if layout.LABELS in stage.reads}
    assert readers == {"evaluation", "report"}
    assert [str(path) for path in DECLARED["training"].reads if "${item.target}" in str(path)]
    assert {entry["target"] for entry in PARAMS["training"].values()} == {"fusion"}
    assert {entry["beside"] for entry in PARAMS["training"].values()} == {"scenes"}


def test_items_are_those_of_the_parameters(tmp_path):
    params = parameters.load(REPOSITORY / "params.yaml")
    assert DECLARED["projection"].items(params) == params.segmenters.names
    assert DECLARED["training"].items(params) == tuple(params.training)
    assert DECLARED["fusion"].items(params) == (None,)


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    """A memory of source files, which no test here changes."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def looked_up(tmp_path, monkeypatch, memory):
    """looked_up(changes of params.yaml): what every stage is made by, by stage and item."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".cache").symlink_to(memory)

    def look(**changes):
        values = json.loads(json.dumps(PARAMS))
        for section, value in changes.items():
            values[section] |= value
        Path("params.yaml").write_text(yaml.safe_dump(values))
        freshness.write(DECLARED.values(), parameters.load(), Path("freshness.json"))
        found = json.loads(Path("freshness.json").read_text())
        flat = {}
        for name, stage in DECLARED.items():
            flat |= {f"{name}.{k}": v for k, v in found[name].items()} if stage.each else {name: found[name]}
        return flat

    return look


READERS = """
import json, sys
from pathlib import Path
from anyscene.project import digests, freshness, parameters, stages

digests.SETTLED = -60.0
declared = stages.declared()


def look():
    freshness.write(declared.values(), parameters.load(), Path("freshness.json"))
    found = json.loads(Path("freshness.json").read_text())
    return {
        f"{name}.{item}" if stage.each else name: made
        for name, stage in declared.items()
        for item, made in (found[name].items() if stage.each else [(None, found[name])])
    }


before, stale = look(), {}
for name in json.loads(sys.argv[1]):
    file = Path("pipeline", name)
    content = file.read_bytes()
    file.write_bytes(content + b" ")
    after = look()
    stale[name] = [run for run in before if before[run] != after[run]]
    file.write_bytes(content)
print(json.dumps(stale))
"""
LABELS, SPLITS, PAGE = (
    f"anyscene/{name}" for name in ("datasets/label_sets", "datasets/splits", "show/report")
)
TEXTS = "anyscene/text/wordnet/glosses.csv"
READ_BY = {  # data files of the packages, and the runs that become stale when one changes
    f"{LABELS}/scannet20.csv": {"labels", "training.ensembled", "evaluation", "report"},
    f"{LABELS}/nyu40.csv": set(),
    f"{SPLITS}/scannet_val.txt": {"scenes", "evaluation", "report"},
    f"{SPLITS}/nuscenes_test.txt": {"evaluation", "report"},
    f"{PAGE}/page.html.j2": {"report"},
    f"{PAGE}/page.css": {"report"},
    f"{PAGE}/timings.html.j2": {"report"},
    TEXTS: {"evaluation", "report"},
}


@pytest.mark.integration
def test_a_data_file_of_a_package_makes_stale_what_reads_it(tmp_path):
    for folder in ("pipeline", "stages"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    values = PARAMS | {"dataset": PARAMS["dataset"] | {"reader": "scannet", "root": "scans"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    done = subprocess.run(
        [sys.executable, "-c", READERS, json.dumps(list(READ_BY))],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path / 'pipeline'}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert {file: set(runs) for file, runs in json.loads(done.stdout).items()} == READ_BY


def test_every_data_file_of_the_packages_is_among_those():
    known = {str(Path(file).parent) for file in READ_BY}
    for file in (REPOSITORY / "pipeline").glob("anyscene*/**/*"):
        name = file.relative_to(REPOSITORY / "pipeline")
        if name.parts[0].endswith(".egg-info"):
            continue
        if file.is_dir() or file.suffix in (".py", ".pyc", ".md", ".nbi", ".nbc") or file.name == "py.typed":
            continue
        beside_settings = name.parts[:2] == ("anyscene", "project")  # presets and defaults are parameters
        assert beside_settings or str(name.parent) in known, name


def test_the_width_of_a_network_follows_the_text_encoder(looked_up):
    """Unless the features that it learns from say how wide they are."""
    training = {name: dict(entry) for name, entry in PARAMS["training"].items()}
    del training["ensembled"]
    other = {"encoder": "open_clip:ViT-B-32:clip.safetensors"}

    def stale():
        return differing(looked_up(training=training), looked_up(training=training, text=other))

    assert "training.distilled" not in stale()
    training["distilled"] |= {"target": "scenes"}
    assert "training.distilled" in stale()


def test_what_is_written_names_no_place_of_this_machine(looked_up):
    Path("scans/scannet").mkdir(parents=True)
    Path("scans/scannetv2-labels.combined.tsv").write_text("one")
    found = looked_up(dataset={"reader": "scannet", "root": "scans/scannet"})
    files = [*found["labels"]["files"], *found["scenes"]["files"], *found["scenes"]["scene_files"]]
    assert "scans/scannet/../scannetv2-labels.combined.tsv" in files
    assert "anyscene/datasets/label_sets/scannet20.csv" in files
    assert [
        file for made in found.values() for file in made.get("files", ()) if Path(file).is_absolute()
    ] == []


def test_of_what_lies_in_models_networks_count_alone(looked_up):
    """Those of `training` by what training writes, others by their description."""
    reads = {name for name, stage in DECLARED.items() if layout.NETWORKS in stage.reads}
    assert reads == set()
    Path("models/sam").mkdir(parents=True)
    before = looked_up()
    Path("models/sam/model.safetensors").write_text("one")
    Path("models/sam.pth").write_text("two")
    assert looked_up() == before
    for name, stale in (("distilled", set()), ("copied", {"evaluation", "report"})):
        Path("models", name).mkdir()
        Path("models", name, "network.json").write_text("{}")
        assert differing(before, looked_up()) == stale


def test_answers_of_a_model_that_ran_elsewhere_are_compared_and_enter_no_key(looked_up):
    folder = Path("weights/odise")
    folder.mkdir(parents=True)
    (folder / "precomputed.json").write_text('{"format": 1, "kind": "features"}')
    changes = {"segmenters": {"weights": "weights", "names": ["odise"]}}
    before = looked_up(**changes)
    (folder / "0.npz").write_text("one more")
    after = looked_up(**changes)
    assert differing(before, after) == {"projection.odise", "capability.odise", "evaluation"}
    changed = {
        name
        for name in after["projection.odise"]
        if before["projection.odise"][name] != after["projection.odise"][name]
    }
    assert changed == {"scene_files"}


def test_the_record_names_the_stages_that_there_are():
    """dvc.lock keeps entries of stages that are gone until somebody removes them."""
    params = parameters.load(REPOSITORY / "params.yaml")
    locked = yaml.safe_load((REPOSITORY / "dvc.lock").read_text())["stages"]
    assert set(locked) == {"freshness", *(run for stage in DECLARED.values() for run in stage.runs(params))}


def differing(one, other):
    assert one.keys() == other.keys()
    return {name for name in one if one[name] != other[name]}


MODELS = {"projection.dense", "projection.mask", "capability.dense", "capability.mask"}


@pytest.mark.parametrize(
    ("file", "changes", "stale"),
    [
        (
            "clip.safetensors",
            {"text": {"encoder": "open_clip:ViT-B-32:clip.safetensors"}},
            MODELS | {"fusion", "training.ensembled", "evaluation", "report"},
        ),
        (
            "own.csv",
            {"dataset": {"label_set": "own.csv"}},
            {"labels", "training.ensembled", "evaluation", "report"},
        ),
        (
            "weights/dense/model.safetensors",
            {"segmenters": {"weights": "weights"}},
            {"projection.dense", "capability.dense", "evaluation"},
        ),
        (
            "weights/blip/model.safetensors",
            {"segmenters": {"weights": "weights", "captioner": "blip"}},
            {"projection.mask"},
        ),
        ("weights/sam.pth", {"synthesis": {"sam": "weights/sam.pth"}}, {"synthesis"}),
        ("weights/sd/unet/model", {"synthesis": {"diffusion": "weights/sd"}}, {"synthesis"}),
        (
            "scans/scannetv2-labels.combined.tsv",
            {"dataset": {"reader": "scannet", "root": "scans/scannet"}},
            {"scenes", "labels", "evaluation"},
        ),
        (
            "scans/category_mapping.tsv",
            {"dataset": {"reader": "matterport", "root": "scans/matterport"}},
            {"scenes", "labels", "evaluation"},
        ),
    ],
)
def test_a_file_that_a_parameter_names_makes_stale_what_reads_it(looked_up, file, changes, stale):
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    Path(changes.get("dataset", {}).get("root", "scans")).mkdir(parents=True, exist_ok=True)
    path.write_text("one")
    before = looked_up(**changes)
    path.write_text("two")
    assert differing(before, looked_up(**changes)) == stale
    path.unlink()
    assert differing(before, looked_up(**changes)) == stale


def test_a_models_own_settings_make_that_model_stale(looked_up):
    names = ["lseg", "mask"]
    before = looked_up(segmenters={"names": names, "lseg": {"base": 640, "crop": 640}})
    after = looked_up(segmenters={"names": names, "lseg": {"base": 1280, "crop": 640}})
    assert differing(before, after) == {"projection.lseg", "capability.lseg", "evaluation"}


OWN = {path.name for path in (REPOSITORY / "pipeline").iterdir() if path.is_dir()}


def imported(file):
    """The modules of the project that import statements of a file name, those inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] in OWN)


@pytest.mark.parametrize("name", DECLARED)
def test_every_module_that_a_stage_imports_is_its_code(name):
    """Whatever package of the project it is in: the demo's world is made by the demo's own."""
    with freshness.Source() as source:
        reached = {*source.reached([f"stages.{name}"]), *freshness.NEUTRAL}
    left = [f"stages.{name}", *(reached - freshness.NEUTRAL)]
    for module in left:
        source = REPOSITORY if module.startswith("stages") else REPOSITORY / "pipeline"
        path = source / module.replace(".", "/")
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for found in imported(file):
            there = REPOSITORY / "pipeline" / found.replace(".", "/")
            if there.with_suffix(".py").is_file() or (there / "__init__.py").is_file():
                assert found in reached, f"{module} imports {found}"


def test_the_world_of_the_demo_is_made_by_the_demos_code():
    with freshness.Source() as source:
        reached = source.reached(["stages.world"])
        packages = source.packages(reached)
    assert {f"anyscene_demo.{name}" for name in ("world", "rooms", "render", "scan")} <= set(reached)
    assert {"embreex", "skimage", "fast_simplification"} <= set(packages)


def test_code_of_one_model_is_no_code_of_another():
    params = parameters.load(REPOSITORY / "params.yaml")
    with freshness.Source() as source:
        reached = {
            model: source.reached(["stages.projection", *DECLARED["projection"].modules(params, model)])
            for model in ("dense", "mask")
        }
    assert "anyscene_demo.segmenters.dense.segmenter" in reached["dense"]
    assert "anyscene_demo.segmenters.mask.segmenter" in reached["mask"]
    assert "anyscene_demo.segmenters.dense.segmenter" not in reached["mask"]
    for model in reached.values():
        assert not [name for name in model if ".lseg" in name or ".grounded" in name or ".learning" in name]


@pytest.mark.parametrize("stage", ["scenes", "labels", "superpoints", "synthesis", "projection"])
def test_early_stages_reach_no_later_room(stage):
    with freshness.Source() as source:
        reached = source.reached([f"stages.{stage}"])
    later = ("learning", "networks", "fusion", "tasks", "study", "show")
    assert [name for name in reached if name.split(".")[1:2] and name.split(".")[1] in later] == []


def test_an_entry_of_dvc_yaml():
    stage = Stage(
        "made_up", writes=("data/made_up",), reads=("data/scenes",), parameters=("scenes",), by_scene=True
    )
    assert stage.dvc([layout.SCENES]) == {
        "cmd": "python -m stages.made_up",
        "deps": ["data/index/scenes.json"],
        "params": ["scenes", {"data/freshness.json": ["made_up"]}],
        "outs": [{"data/made_up": {"persist": True}}, "data/index/made_up.json"],
    }


def test_stages_depend_on_the_index_of_artefacts_and_on_all_else_as_it_is():
    written = yaml.safe_load(stages.dvc_yaml(DECLARED))["stages"]
    assert written["fusion"]["deps"] == [
        "data/capability",
        "data/index/projection",
        "data/index/superpoints.json",
    ]
    assert written["training"]["do"]["deps"] == [
        *("data/index/scenes.json", "data/index/superpoints.json"),
        *("data/index/${item.target}.json", "data/index/${item.beside}.json"),
        "models/${item.from}",
    ]
    assert written["projection"]["deps"] == ["${dataset.root}", "data/index/scenes.json"]
    assert written["world"]["deps"] == ["data/demo"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion": {"tau": 0}}, "fusion.tau: must be 1e-12 to 1e+12, not 0"),
        (
            {"training": {"ensembled": {**PARAMS["training"]["ensembled"], "momentum": 2}}},
            "momentum: must be 0 to 1",
        ),
        (
            {"training": {"distilled": {**PARAMS["training"]["distilled"], "from": "none"}}},
            "models/none is not",
        ),
        ({"evaluation": {"bootstrap": 0}}, "evaluation.bootstrap: must be 1 to 1000000"),
        ({"text": {"template": "a thing"}}, "text.template: wants one {} where the class stands"),
        ({"superpoints": {"k": -1.0}}, "superpoints.k: must be 1e-09 to"),
    ],
)
def test_a_value_out_of_bounds_is_said_before_the_first_stage(tmp_path, changes, message):
    values = {section: {**PARAMS[section], **change} for section, change in changes.items()}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS | values))
    (tmp_path / "stages").symlink_to(REPOSITORY / "stages")
    done = subprocess.run([sys.executable, "-m", "stages"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and message in done.stderr, done.stderr
    assert not (tmp_path / "data").exists()

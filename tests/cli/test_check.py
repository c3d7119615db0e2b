"""Every setting that cannot be right ends the run before the first stage, with a message that names it."""

import copy
import dataclasses
import subprocess
import sys
import typing

import pytest

from anyscene.cli.check import check
from anyscene.errors import PipelineError
from anyscene.fusion import UNSEEN
from anyscene.project import parameters
from tests.builders import REPOSITORY
from tests.builders.nested import leaves

VALUES = parameters.read(REPOSITORY / "params.yaml")
NAN, INF = float("nan"), float("inf")


def wrong(value):
    """Values of which none can be right for any key whose value is of that type."""
    if isinstance(value, bool):
        return [1, "yes", None]
    if isinstance(value, int):
        return [-1, 0.5, True, "1"]
    if isinstance(value, float):
        return [-1.0, NAN, INF, "1e-4"]
    if isinstance(value, list):
        return [[], [""], [" "], "wall", [3], ["door", "door"]]
    return ["", " ", 3, None]


# what has the right type, and would end a stage hours later
KNOWN = [
    ("vocabulary", [f"class {number}" for number in range(256)], "vocabulary: must name 1 to 255"),
    ("vocabulary", ["shower curtain", "bed", "shower_curtain"], "'shower curtain' and 'shower_curtain' are"),
    ("vocabulary", ["Bed", "bed"], "vocabulary: 'Bed' and 'bed' are one class"),
    ("vocabulary", ["tv  set", "tv set"], "vocabulary: 'tv  set' and 'tv set' are one class"),
    ("vocabulary", ["two\nlines"], r"vocabulary: 'two\nlines' is no name of a class"),
    ("vocabulary", ["_"], "vocabulary: '_' is no name of a class"),
    ("vocabulary", ["ü" * 41], "is no name of a class: of 1 to 80 bytes"),
    ("text.template", "a {} beside a {}", "text.template: wants one {}"),
    ("text.template", "a {name}", "text.template: wants one {}"),
    ("text.template", "a {} in {", "text.template: wants one {}"),
    ("synthesis.prompt", "a photo", "synthesis.prompt: wants one {}"),
    ("evaluation.bootstrap", 0, "evaluation.bootstrap: must be 1 to 1000000, not 0"),
    ("dataset.label_set", "scannet21", "no label set 'scannet21'; known are matterport160"),
    ("dataset.label_set", "mine.csv", "no label set 'mine.csv'"),
    ("evaluation.label_sets", ["scannet21"], "no label set 'scannet21'; known are matterport160"),
    ("evaluation.label_sets", ["nyu40", "nyu40"], "evaluation.label_sets: 'nyu40' stands there twice"),
    ("evaluation.label_sets", ["nyu40"], "evaluation.label_sets: scans in the form rgbd are annotated by"),
    (
        "dataset.root",
        "nowhere/scans",
        "dataset.root: nowhere/scans is not there; put the raw scans there, or",
    ),
    ("dataset.reader", "scanet", "dataset.reader: no reader is called 'scanet'"),
    ("text.encoder", "minilm2", "text.encoder is 'minilm2'; use minilm or open_clip"),
    ("text.encoder", "open_clip:", "text.encoder is 'open_clip:'"),
    ("text.encoder", "open_clip:ViT-B-33:openai", "text.encoder: open_clip knows no model 'ViT-B-33'"),
    ("text.encoder", "open_clip:ViT-B-32:opnai", "no weights 'opnai' of ViT-B-32; give openai or"),
    ("text.template", "a thing in a scene", "text.template: wants one {}"),
    ("segmenters.names", ["dens"], "segmenters.names: no 2D model is called 'dens'; known: dense, "),
    ("segmenters.names", [], "segmenters.names: name at least one 2D model"),
    ("segmenters.names", ["../dense"], "segmenters.names: '../dense' cannot be the name of a folder"),
    ("segmenters.names", ["dense", "dense"], "segmenters.names: 'dense' stands there twice"),
    ("projection.border", 60, "projection.border: 60 pixels on each side leave nothing of 160x120"),
    ("projection.height", 4, "projection.border: 2 pixels on each side leave nothing of 160x4"),
    ("network.width", 0.03, "network.width: must be 0.0625 to 16, not 0.03"),
    ("runtime.device", "gpu", "runtime.device: 'gpu' is not a device; use auto, cpu, cuda"),
    ("runtime.device", "cuda:99", "runtime.device: 'cuda:99', but torch finds"),
    ("training.distilled.from", "distild", "models/distild is not there; name another entry, or a"),
    ("training.distilled.seed", -1, "training.distilled.seed: must be 0 to 9223372036854775807, not -1"),
    ("fusion.tau", 0.0, "fusion.tau: must be 1e-12 to 1e+12, not 0.0"),
    ("training.ensembled.momentum", 2.0, "training.ensembled.momentum: must be 0 to 1, not 2.0"),
    ("segmenters.lseg.crop", 100, "segmenters.lseg.crop: must be a multiple of 32, not 100"),
]


@pytest.fixture
def refused(monkeypatch):
    """refused(keys, value): the message that a value of params.yaml is refused with; "" where it is not."""
    monkeypatch.chdir(REPOSITORY)

    def refused(keys, value):
        values = copy.deepcopy(VALUES)
        section = values
        for key in keys[:-1]:
            section = section[key]
        section[keys[-1]] = value
        try:
            check(parameters.parse(values, "params.yaml"))
        except PipelineError as error:
            return str(error)
        return ""

    return refused


def test_the_settings_of_the_repository_are_right(refused):
    assert refused(("fusion", "tau"), 0.05) == ""


@pytest.mark.parametrize(
    ("keys", "value"), [pytest.param(*leaf, id=".".join(leaf[0])) for leaf in leaves(VALUES)]
)
def test_no_key_takes_a_value_that_cannot_be_right(refused, keys, value):
    for bad in wrong(value)[value in ("", []) :]:  # a text or a list may be empty where it is
        said = refused(keys, bad)
        assert said and "\n" not in said, f"{'.'.join(keys)}: {bad!r} is taken"
        assert said.startswith("params.yaml: ") and said.count("params.yaml: ") == 1, said
        assert keys[-1] in said or (keys[-1] == "label_set" and "no label set" in said), said


@pytest.mark.parametrize(("key", "value", "message"), KNOWN)
def test_what_a_late_stage_would_refuse_is_refused_at_the_start(refused, key, value, message):
    said = refused(key.split("."), value)
    assert message in said and said.startswith("params.yaml: ") and said.count("params.yaml: ") == 1


def test_every_field_of_every_section_is_tried():
    """params.yaml has every key; a field with another place would be left out above."""

    def fields(kind, above=()):
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            hint = hints[field.name]
            if dataclasses.is_dataclass(hint) and hint is not parameters.Sections:
                yield from fields(hint, (*above, field.name))
            elif field.name not in ("sections", "training"):
                yield (*above, field.name)

    tried = {keys for keys, _ in leaves(VALUES)}
    assert set(fields(parameters.Params)) <= tried
    common = {field.metadata.get("key", field.name) for field in dataclasses.fields(parameters.Training)}
    for name, entry in VALUES["training"].items():
        own = {field.name for field in dataclasses.fields(parameters.OBJECTIVES.get(entry["kind"]).settings)}
        assert {keys[2] for keys in tried if keys[:2] == ("training", name)} == common - {"objective"} | own
    for section in (parameters.Dataset, parameters.Segmenters):
        for name in section.ENTRIES.names():
            settings = getattr(section.ENTRIES.get(name), "settings", None)
            for field in dataclasses.fields(settings) if settings else ():
                assert (section.__name__.lower(), name, field.name) in tried


def test_a_model_that_runs_elsewhere_needs_a_folder_or_a_name_that_is_known(refused, tmp_path):
    assert refused(("segmenters", "names"), ["dense", "seem"]) == ""  # `anyscene convert` takes its answers
    assert "make the folder models/demo/ours" in refused(("segmenters", "names"), ["dense", "ours"])
    (tmp_path / "ours").mkdir()
    values = copy.deepcopy(VALUES)
    values["segmenters"] |= {"names": ["ours"], "weights": str(tmp_path)}
    check(parameters.parse(values, "params.yaml"))


def test_raw_scans_may_lie_anywhere_and_those_of_the_demo_are_yet_to_be_made(refused, tmp_path):
    for root in (tmp_path, "data/world/", REPOSITORY / "data/world"):
        assert refused(("dataset", "root"), str(root)) == ""


def test_encoders_that_are_there_are_taken(refused):
    for encoder in ("open_clip:ViT-B-32-quickgelu:weights/clip.safetensors", "open_clip:ViT-B-32:openai"):
        assert refused(("text", "encoder"), encoder) == ""


def test_the_bound_of_the_vocabulary_is_that_of_fusion():
    assert parameters.MOST_CLASSES == UNSEEN


def test_settings_are_checked_without_torch():
    code = (
        "import sys; from anyscene.cli.check import check; from anyscene.project import parameters; "
        "check(parameters.load()); assert 'torch' not in sys.modules and 'scipy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def test_a_label_set_is_scored_once():
    """By a reader that finds the classes of any label set."""
    values = copy.deepcopy(VALUES)
    values["dataset"] |= {"reader": "scannet", "label_set": "scannet20"}
    values["evaluation"]["label_sets"] = ["nyu40", "scannet200"]
    check(parameters.parse(values, "here"))
    values["evaluation"]["label_sets"] = ["scannet20"]
    with pytest.raises(PipelineError, match=r"\.label_sets: scannet20 is dataset\.label_set already; leave"):
        check(parameters.parse(values, "here"))

import copy
import dataclasses
import functools
import math
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from anyscene.errors import ConfigError
from anyscene.project import parameters
from anyscene.project.parameters import OBJECTIVES, Augmentation
from tests.builders import REPOSITORY, objectives, training_rooms
from tests.builders.nested import leaves


def write(tmp_path, **changes):
    values = parameters.read(REPOSITORY / "params.yaml")
    values = copy.deepcopy(values)
    for key, value in changes.items():
        *sections, name = key.split("__")
        section = functools.reduce(dict.__getitem__, sections, values)
        if value is KeyError:
            del section[name]
        else:
            section[name] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_committed_parameters_load():
    params = parameters.load(REPOSITORY / "params.yaml")
    assert params.fusion.tau == 0.05 and isinstance(params.segmenters.names, tuple)
    assert len(params.vocabulary) == 19


def test_built_in_values_are_those_of_the_repository_but_for_data_set_and_training():
    values, committed = (parameters.read(path) for path in (parameters.DEFAULTS, REPOSITORY / "params.yaml"))
    assert values["dataset"]["root"] == "." and values["dataset"] != committed["dataset"]
    committed["dataset"] |= {"name": "scan", "root": "."}
    committed["training"] = {}
    assert values == committed
    assert parameters.defaults() == parameters.parse(committed, "committed")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *(("1e-05", 1e-5), ("1e5", 1e5), ("+1.5E+3", 1500.0), (".5", 0.5), ("5.", 5.0), ("'1e-05'", "1e-05")),
        *(("no", "no"), ("on", "on"), ("1:30", "1:30"), ("012", 12), ("~", None), ("true", True)),
    ],
)
def test_values_are_those_of_yaml_1_2(tmp_path, written, value):
    (tmp_path / "params.yaml").write_text(f"key: {written}\n")
    found = parameters.read(tmp_path / "params.yaml")["key"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fusion: {tau: 1}\ntext: {}\nfusion: {}\n", 'found duplicate key "fusion" .* in line 3'),
        ("fusion:\n  tau: 1\n  tau: 2\n", 'found duplicate key "tau" with value "2" .* in line 3'),
        ("name: [a\n", "expected ',' or ']', but got '<stream end>' in line 2"),
        ("name: 2024-13-01\n", "month must be in 1..12"),
        ("name: !!int x\n", "invalid literal for int"),
        ("name: \x01\n", "unacceptable character"),
        ("name: " + "[" * 600, "recursion"),
    ],
)
def test_what_is_no_yaml_is_said_in_one_line(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"params.yaml: not valid YAML: .*{message}") as raised:
        parameters.read(tmp_path / "params.yaml")
    assert "\n" not in str(raised.value)


def put(values, keys, value):
    """A copy of `values` in which one leaf is another."""
    head, *rest = keys
    return values | {head: put(values[head], rest, value) if rest else value}


def written_by_dvc(path, changes):
    """Write `changes`, sections and keys, into the file as `dvc exp run -S` does once it has read them."""
    from dvc.utils.collections import merge_dicts
    from dvc.utils.serialize import modify_yaml

    with modify_yaml(path) as values:
        merge_dicts(values, changes)


GIVEN = [
    *(1e-05, 1e-30, 3.7e-05, 1e300, 0.0, -1, -0.5, 7, None, True, math.inf, [1, -2], []),
    *(["wall", "no", "1:30"], "wall", "", "no", "1e-05", "1:30", "012", "a: b # c", "=", "2024-01-01"),
    *("null", "long " * 40, "ü"),
]


@pytest.mark.integration
@pytest.mark.parametrize("value", GIVEN)
def test_what_dvc_writes_into_any_key_is_read_or_refused_in_one_line(tmp_path, monkeypatch, value):
    """Here it writes the value into all keys at once."""
    monkeypatch.setattr(
        metadata, "entry_points", functools.cache(metadata.entry_points)
    )  # a tenth of a second
    committed, path = parameters.read(REPOSITORY / "params.yaml"), tmp_path / "params.yaml"
    shutil.copy(REPOSITORY / "params.yaml", path)
    keys = [keys for keys, _ in leaves(committed)]
    written_by_dvc(path, functools.reduce(lambda values, key: put(values, key, value), keys, committed))
    written = dict(leaves(parameters.read(path)))
    assert written == dict.fromkeys(keys, value)
    assert {type(found) for found in written.values()} == {type(value)}
    for key in keys:
        try:
            parameters.parse(put(committed, key, written[key]), str(path))
        except ConfigError as error:
            assert "\n" not in str(error) and key[-1] in str(error)


@pytest.mark.integration
def test_a_learning_rate_below_a_ten_thousandth_can_be_set(tmp_path):
    from dvc.utils.hydra import apply_overrides

    path = Path(shutil.copy(REPOSITORY / "params.yaml", tmp_path))
    apply_overrides(path, ["training.distilled.learning_rate=1e-05", "fusion.tau=1"])
    params = parameters.load(path)
    assert params.training["distilled"].learning_rate == 1e-5 and params.fusion.tau == 1.0
    assert isinstance(params.fusion.tau, float)


@pytest.mark.integration
def test_dvc_writes_params_yaml_as_it_is(tmp_path):
    """Where `-S` gives a key the value that it has, be it any one or all of them, not a byte changes."""
    from dvc.utils.hydra import apply_overrides

    path = Path(shutil.copy(REPOSITORY / "params.yaml", tmp_path))
    before = path.read_text()
    apply_overrides(path, ["fusion.tau=0.05", "training.distilled.final_learning_rate=1e-5"])
    assert path.read_text() == before
    written_by_dvc(path, parameters.read(path))
    assert path.read_text() == before


def test_sections_are_frozen():
    params = parameters.load(REPOSITORY / "params.yaml")
    with pytest.raises(AttributeError):
        params.fusion.tau = 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion__tua": 0.1}, "fusion: unknown key 'tua'; known: .*tau"),
        ({"fusion__tau": KeyError}, "fusion: missing key 'tau'"),
        ({"fusion__tau": "small"}, r"fusion\.tau: expected float, not 'small'"),
        ({"fusion__tau": True}, r"fusion\.tau: expected float"),
        ({"fusion__method": "best"}, r"fusion\.method: 'best' is not one of 'capability'"),
        ({"superpoints__min_vertices": 1.5}, r"superpoints\.min_vertices: expected int"),
        ({"superpoints__min_vertices": True}, r"superpoints\.min_vertices: expected int"),
        ({"capability__pooled": 1}, r"capability\.pooled: expected bool"),
        ({"segmenters__names": "dense"}, r"segmenters\.names: expected a list"),
        (
            {"training__distilled__from": "random", "training__distilled__batch_norm": "frozen"},
            r"training\.distilled\.batch_norm: frozen keeps the statistics",
        ),
        (
            {"training__distilled__batch_norm": "sync"},
            r"training\.distilled\.batch_norm: 'sync' is not one of 'own', 'shared', 'frozen'",
        ),
        (
            {"training__ensembled__momentum": 2.0},
            r"yaml: training\.ensembled\.momentum: must be 0 to 1, not 2\.0",
        ),
        (
            {"training__ensembled__temperature": 0.0},
            r"training\.ensembled\.temperature: must be 1e-06 to 1e\+06, not 0\.0",
        ),
        ({"training__ensembled__balance": -1.0}, r"training\.ensembled\.balance: must be 0 to 10, not -1\.0"),
        (
            {"training__distilled__points_per_scene": 0},
            r"training\.distilled\.points_per_scene: must be 1 to",
        ),
        (
            {"training__ensembled__points_per_scene": 0},
            r"training\.ensembled\.points_per_scene: must be 1 to",
        ),
        ({"training__distilled__steps": 0}, r"training\.distilled\.steps: must be 1 to 2147483647, not 0"),
        ({"training__distilled__ema": 1.0}, r"training\.distilled\.ema: 1\.0 is not a share"),
        (
            {"training__distilled__weight_decay": 0.1},
            r"distilled\.weight_decay: 0\.1 needs the optimiser adamw",
        ),
        (
            {"training__distilled__optimiser": "sgd"},
            r"distilled\.optimiser: 'sgd' is not one of 'adam'",
        ),
        (
            {"training__distilled__momentum": 0.9},
            r"training\.distilled: unknown key 'momentum'; known: seed, .*po",
        ),
        ({"training__ensembled__loss": KeyError}, r"training\.ensembled: missing key 'loss'"),
        ({"training__ensembled__clip": KeyError}, r"training\.ensembled: missing key 'clip'"),
        (
            {"training__ensembled__kind": KeyError},
            r"training\.ensembled: missing key 'kind'; there are .*pixel",
        ),
        (
            {"training__ensembled__kind": "ensemble"},
            r"training\.ensembled\.kind: anyscene\.objectives: nothing is called 'ensemble'; known: ens",
        ),
        (
            {"training__distilled__target": "labels"},
            r"distilled\.target: 'labels' does not fit: superpoint is not",
        ),
        (
            {"training__distilled__beside": "labels"},
            r"distilled\.beside: 'labels' does not fit: superpoint is not",
        ),
        (
            {"training__distilled__target": "world"},
            r"distilled\.target: 'world' is not one of 'fusion', 'labels'",
        ),
        (
            {"training__distilled__from": "ensembled"},
            "training: no network comes first in distilled from ensembled from distilled$",
        ),
        ({"training__distilled__from": "distilled"}, "no network comes first in distilled from distilled$"),
        ({"training__distilled": 3}, r"training\.distilled: expected a section, not 3"),
        ({"training": [1]}, "training: expected a mapping"),
        ({"network__voxel": 0.0}, r"network\.voxel: must be 0\.001 to 10, not 0\.0"),
        ({"network__width": -1.0}, r"network\.width: must be 0\.0625 to 16, not -1\.0"),
        ({"augmentation__elastic": 1.5}, r"augmentation\.elastic: must be 0 to 1, not 1\.5"),
        (
            {"dataset__nuscenes__sweep_seconds": -0.5},
            r"dataset\.nuscenes\.sweep_seconds: must be 0 to 60, not -0\.5",
        ),
        (
            {"dataset__nuscenes__sweep_seconds": float("nan")},
            r"nuscenes\.sweep_seconds: must be 0 to 60, not nan",
        ),
        (
            {"runtime__device_memory_gib": -1.0},
            r"device_memory_gib: must be 0, which is off, or 0\.1 to 100000, not -1\.0",
        ),
        ({"segmenters__precision": "half"}, r"segmenters\.precision: 'half' is not one of 'float32', 'bf"),
        ({"dataset__name": " "}, r"dataset\.name: must not be empty"),
        ({"dataset__root": ""}, r"dataset\.root: must not be empty"),
        ({"dataset__label_set": ""}, r"dataset\.label_set: must not be empty"),
        ({"segmenters__weights": ""}, r"segmenters\.weights: must not be empty"),
        ({"synthesis__diffusion": ""}, r"synthesis\.diffusion: must not be empty"),
        ({"capability__other": "Wall"}, r"capability\.other: 'wall' and 'Wall' are one class; leave one out"),
        ({"synthesis__sam": ""}, r"synthesis\.sam: must not be empty"),
        ({"training__distilled__title": ""}, r"training\.distilled\.title: must not be empty"),
        ({"training__distilled__from": " "}, r"training\.distilled\.from: must not be empty"),
        ({"segmenters__batch": 0}, r"segmenters\.batch: must be 1 to 2147483647, not 0"),
        ({"synthesis__batch": -1}, r"synthesis\.batch: must be 1 to 2147483647, not -1"),
        ({"scenes__frame_stride": 0}, r"scenes\.frame_stride: must be 1 to"),
        ({"scenes__voxel": float("nan")}, r"scenes\.voxel: must be 0\.001 to 10, not nan"),
        ({"projection__height": 0}, r"projection\.height: must be 1 to 16384, not 0"),
        ({"segmenters__names": ["dense", 3]}, r"segmenters\.names\[1\]: expected str"),
    ],
)
def test_wrong_keys_are_named(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message) as refused:
        parameters.load(write(tmp_path, **changes))
    assert str(refused.value).startswith(f"{tmp_path}/params.yaml: ")
    assert str(refused.value).count("params.yaml: ") == 1


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("dataset__root", "dataset.root"),
        ("segmenters__weights", "segmenters.weights"),
        ("synthesis__diffusion", "synthesis.diffusion"),
        ("synthesis__sam", "synthesis.sam"),
    ],
)
def test_a_path_from_home_is_refused_with_what_to_write(tmp_path, key, said):
    """DVC would look for a folder called ~ in the project."""
    with pytest.raises(
        ConfigError, match=rf"{said}: ~/big: DVC does not replace ~; write {Path.home()}/big$"
    ):
        parameters.load(write(tmp_path, **{key: "~/big"}))


def test_a_text_encoder_from_home_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=rf"text.encoder: ~/clip.pt: .* write {Path.home()}/clip.pt$"):
        parameters.load(write(tmp_path, text__encoder="open_clip:ViT-B-32:~/clip.pt"))


EXTREME = (1e-46, 1e-30, 1e30, 1e308, 2**64, -(2**64))
HARMLESS = {  # settings -> why no number that the others refuse is too small for them
    "projection.tolerance": "as 0: points at their depth are seen",
    "synthesis.guidance": "as 0: the prompt does not count",
    "synthesis.guidance_rescale": "as 0",
    "synthesis.attention_threshold": "as 0: all that has attention is in the mask",
    "augmentation.elastic": "as 0: no scene is distorted",
    "augmentation.mirror": "as 0: no scene is mirrored",
    "learning_rate": "as 0: weights stay",
    "final_learning_rate": "as 0",
    "weight_decay": "as 0: weights do not decay",
    "ema": "as 0: the average is the last weights",
    "momentum": "as 0: the history is the last answer",
    "balance": "as 0: all classes weigh alike",
    "runtime.checkpoint_seconds": "as 0: one after every step",
    "dataset.nuscenes.sweep_seconds": "as 0: no sweep joins",
}


def numbers():
    """(keys, whether it is whole) of every number of params.yaml and of the sections that entries declare."""
    for keys, value in leaves(parameters.read(REPOSITORY / "params.yaml")):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield keys, isinstance(value, int)


def test_the_settings_of_all_entries_are_walked():
    walked = {keys[:-1] for keys, _ in numbers()}
    for section in (parameters.Dataset, parameters.Segmenters, parameters.Evaluation):
        for name in section.ENTRIES.names():
            kind = getattr(section.ENTRIES.get(name), "settings", None)
            if kind is not None and {"int", "float"} & {field.type for field in dataclasses.fields(kind)}:
                assert (section.__name__.lower(), name) in walked
    trained = parameters.load(REPOSITORY / "params.yaml").training.values()
    fields = {one.kind: dataclasses.fields(one.objective) for one in trained}
    assert {field.name for kind in OBJECTIVES.names() for field in fields.get(kind, ())} >= {
        field.name
        for kind in OBJECTIVES.names()
        for field in dataclasses.fields(OBJECTIVES.get(kind).settings)
    }


@pytest.mark.parametrize("keys", dict(numbers()), ids=".".join)
def test_numbers_that_make_no_sense_are_refused_with_their_bounds(keys, monkeypatch):
    """Far below and far above all that is meant, also where types still hold them."""
    monkeypatch.setattr(metadata, "entry_points", functools.cache(metadata.entry_points))
    committed = parameters.read(REPOSITORY / "params.yaml")
    for entry in committed["training"].values():
        entry["optimiser"] = "adamw"  # with which weights may decay
    key = keys[-1] if keys[0] == "training" else ".".join(keys)
    whole = dict(numbers())[keys]
    for value in map(int, EXTREME[2:]) if whole else EXTREME:
        said = rf"yaml: {re.escape('.'.join(keys))}: "
        if 0 < value < 1 and key in HARMLESS:
            parameters.parse(put(committed, keys, value), "params.yaml")
            continue
        bound = r"must be .* to .*, not|must be less than|is not a share of 0"
        with pytest.raises(ConfigError, match=rf"({said}|{re.escape(key)}: ).*({bound})") as raised:
            parameters.parse(put(committed, keys, value), "params.yaml")
        assert str(value) in str(raised.value) or str(float(value)) in str(raised.value)


def test_a_whole_number_that_no_float_holds_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"fusion\.tau: expected a number below 1\.8e308, not one of 401"):
        parameters.load(write(tmp_path, fusion__tau=10**400))


def test_what_is_harmless_is_a_setting():
    known = {keys[-1] if keys[0] == "training" else ".".join(keys) for keys, _ in numbers()}
    assert known > HARMLESS.keys()


def test_integers_serve_as_floats(tmp_path):
    assert parameters.load(write(tmp_path, fusion__tau=1)).fusion.tau == 1.0


def test_missing_section_and_file(tmp_path):
    (tmp_path / "params.yaml").write_text("fusion: {tau: 1}\n")
    with pytest.raises(ConfigError, match="missing key 'dataset'"):
        parameters.load(tmp_path / "params.yaml")
    with pytest.raises(ConfigError, match="no such file"):
        parameters.load(tmp_path / "none.yaml")
    (tmp_path / "params.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        parameters.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes("# für\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"params\.yaml: is not UTF-8 .*; save it as UTF-8"):
        parameters.load(tmp_path / "params.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\); give a file"):
        parameters.load(tmp_path)
    (tmp_path / "params.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="expected a section"):
        parameters.load(tmp_path / "params.yaml")


def test_equal_parameters_are_one_key():
    """Models are remembered by the parameters that they were loaded with."""
    first, second = (parameters.load(REPOSITORY / "params.yaml") for _ in range(2))
    assert first is not second and {first: "loaded"}[second] == "loaded"


def test_plain():
    params = parameters.load(REPOSITORY / "params.yaml")
    assert parameters.plain(params.fusion)["tau"] == 0.05


def test_an_entry_of_training_is_a_recipe_and_its_objectives_settings():
    params = parameters.load(REPOSITORY / "params.yaml")
    assert list(params.training) == ["distilled", "ensembled"]
    distilled, ensembled = params.training.values()
    assert isinstance(distilled, parameters.Recipe) and distilled.steps == 300
    assert (distilled.start, ensembled.start) == ("demo/student", "distilled")
    assert (ensembled.kind, ensembled.objective.start, ensembled.objective.momentum) == (
        "ensembling", "paper", 0.9999,
    )  # fmt: skip
    assert parameters.plain(ensembled)["objective"]["points_per_scene"] == 10_000


@pytest.mark.parametrize("name", ["random", "fusion", "two words", "a/b", "", "n" * 101])
def test_a_network_needs_a_name_of_its_own(tmp_path, name):
    values = parameters.read(REPOSITORY / "params.yaml")
    values["training"][name] = values["training"]["distilled"]
    with pytest.raises(ConfigError, match=f"training: '{name}' cannot name a network"):
        parameters.parse(values, "here")


def test_a_network_may_not_lie_where_other_models_do():
    values = parameters.read(REPOSITORY / "params.yaml")
    values["training"]["demo"] = values["training"]["distilled"]
    with pytest.raises(
        ConfigError, match=r"training\.demo: models/demo holds models/demo already; take another name"
    ):
        parameters.parse(values, "here")


def test_what_is_not_there_to_begin_from_is_named(tmp_path):
    params = parameters.load(write(tmp_path, training__distilled__from="mine/best"))
    assert parameters.missing_starts(params, tmp_path) == {"distilled": tmp_path / "mine/best"}
    (tmp_path / "mine/best").mkdir(parents=True)
    assert parameters.missing_starts(params, tmp_path) == {}
    params = parameters.load(
        write(tmp_path, training__distilled__from="random", training__distilled__batch_norm="own")
    )
    assert parameters.missing_starts(params, tmp_path) == {}


def test_objectives_of_another_package_bring_their_keys(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(objectives.install(tmp_path / "site")))
    values = parameters.read(REPOSITORY / "params.yaml")
    own = {field.name for field in dataclasses.fields(OBJECTIVES.get("superpoint").settings)}
    common = {key: value for key, value in values["training"]["distilled"].items() if key not in own}
    values["training"]["probed"] = common | {
        "kind": "probe", "from": "ensembled", "target": "labels", "temperature": 0.1,
    }  # fmt: skip
    probed = parameters.parse(values, "here").training["probed"]
    assert probed.objective == objectives.ProbeSettings(0.1)
    values["training"]["probed"]["target"] = "fusion"
    with pytest.raises(
        ConfigError, match=r"training\.probed\.target: 'fusion' does not fit: probe learns from l"
    ):
        parameters.parse(values, "here")
    values["training"]["probed"]["beside"] = "labels"
    assert parameters.parse(values, "here").training["probed"].target == "fusion"
    values["training"]["probed"] |= {
        "kind": "masked",
        "beside": "scenes",
        "masked": 2.0,
        "momentum": 0.9,
        "sharpness": 1.0,
    }
    del values["training"]["probed"]["temperature"]
    with pytest.raises(ConfigError, match=r"here: training\.probed\.masked: 2\.0 is a share"):
        parameters.parse(values, "here")


@pytest.mark.parametrize("given", [[0.1], [0.1, 0.2, 0.3], []])
def test_a_pair_of_another_package_has_two_values(tmp_path, monkeypatch, given):
    monkeypatch.syspath_prepend(str(objectives.install(tmp_path / "site")))
    monkeypatch.setitem(objectives.ProbeSettings.__annotations__, "temperature", "tuple[float, float]")
    values = parameters.read(REPOSITORY / "params.yaml")
    own = {field.name for field in dataclasses.fields(OBJECTIVES.get("superpoint").settings)}
    common = {key: value for key, value in values["training"]["distilled"].items() if key not in own}
    values["training"]["probed"] = common | {"kind": "probe", "target": "labels", "temperature": given}
    wanted = rf"training\.probed\.temperature: expected 2 values, not {len(given)}$"
    with pytest.raises(ConfigError, match=wanted):
        parameters.parse(values, "here")


def test_parameters_are_read_without_torch():
    code = (
        "import sys; from anyscene.project import parameters; parameters.load(); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "batch: must be 1 to 2147483647, not 0"),
        ({"accumulate": 0}, "accumulate: must be 1 to 2147483647, not 0"),
        ({"steps": 0}, "steps: must be 1 to 2147483647, not 0"),
        ({"learning_rate": math.nan}, "learning_rate: must be 0 to 1, not nan"),
        ({"final_learning_rate": -1.0}, r"final_learning_rate: must be 0 to 1, not -1\.0"),
        ({"warmup": -1}, "warmup: must be 0 to 2147483647, not -1"),
        ({"clip": -1.0}, "clip: must be 0, which is off, or 1e-06 to"),
        ({"optimiser": "adamw", "weight_decay": -0.1}, "weight_decay: must be 0 to 100"),
        ({"weight_decay": 0.1}, r"weight_decay: 0\.1 needs the optimiser adamw"),
        ({"ema": 1.0}, r"ema: 1\.0 is not a share"),
    ],
)
def test_recipes_that_train_nothing_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        training_rooms.recipe(**{"steps": 1} | wrong)


def test_augmentations_that_are_none_are_refused():
    with pytest.raises(ConfigError, match=r"augmentation\.elastic: must be 0 to 1, not 5\.0"):
        Augmentation("free", 5.0)

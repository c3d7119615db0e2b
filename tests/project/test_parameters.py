import copy

import pytest
import yaml

from anyscene.errors import ConfigError
from anyscene.project import parameters
from tests.builders import REPOSITORY


def write(tmp_path, **changes):
    values = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    values = copy.deepcopy(values)
    for key, value in changes.items():
        section, name = key.split("__")
        if value is KeyError:
            del values[section][name]
        else:
            values[section][name] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_committed_parameters_load():
    params = parameters.load(REPOSITORY / "params.yaml")
    assert params.fusion.tau == 0.05 and isinstance(params.segmenters.names, tuple)
    assert len(params.vocabulary) == 19


def test_built_in_values_are_those_of_the_repository_but_for_the_data_set():
    values, committed = (parameters.read(path) for path in (parameters.DEFAULTS, REPOSITORY / "params.yaml"))
    assert values["dataset"]["root"] == "." and values["dataset"] != committed["dataset"]
    committed["dataset"] |= {"name": "scan", "root": "."}
    assert values == committed
    assert parameters.defaults() == parameters.parse(committed, "committed")


def test_sections_are_frozen():
    params = parameters.load(REPOSITORY / "params.yaml")
    with pytest.raises(AttributeError):
        params.fusion.tau = 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion__tua": 0.1}, "fusion: unknown key 'tua'; known: .*tau"),
        ({"fusion__tau": KeyError}, "fusion: missing key 'tau'"),
        ({"fusion__tau": "1e-4"}, r"fusion\.tau: expected float, not '1e-4' \(write 1\.0e-4"),
        ({"fusion__tau": True}, r"fusion\.tau: expected float"),
        ({"fusion__method": "best"}, r"fusion\.method: 'best' is not one of 'capability'"),
        ({"superpoints__min_vertices": 1.5}, r"superpoints\.min_vertices: expected int"),
        ({"superpoints__min_vertices": True}, r"superpoints\.min_vertices: expected int"),
        ({"capability__pooled": 1}, r"capability\.pooled: expected bool"),
        ({"segmenters__names": "dense"}, r"segmenters\.names: expected a list"),
        (
            {"distillation__initial": None, "distillation__batch_norm": "frozen"},
            "frozen keeps the statistics",
        ),
        ({"distillation__batch_norm": "sync"}, r"batch_norm: 'sync' is not one of 'own', 'shared', 'frozen'"),
        ({"dataset__sweep_seconds": -0.5}, r"dataset\.sweep_seconds: -0\.5 is a time, 0 or more"),
        ({"dataset__sweep_seconds": float("nan")}, r"dataset\.sweep_seconds: nan is a time"),
        ({"runtime__device_memory_gib": -1.0}, r"device_memory_gib: -1\.0 is no size; 0 is all"),
        ({"segmenters__precision": "half"}, r"segmenters\.precision: 'half' is not one of 'float32', 'bf"),
        ({"segmenters__batch": 0}, r"segmenters\.batch: must be more than 0, not 0"),
        ({"synthesis__batch": -1}, r"synthesis\.batch: must be more than 0, not -1"),
        ({"scenes__frame_stride": 0}, r"scenes\.frame_stride: must be more than 0"),
        ({"scenes__voxel": float("nan")}, r"scenes\.voxel: must be more than 0, not nan"),
        ({"projection__height": 0}, r"projection\.height: must be more than 0"),
        ({"segmenters__names": ["dense", 3]}, r"segmenters\.names\[1\]: expected str"),
    ],
)
def test_wrong_keys_are_named(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        parameters.load(write(tmp_path, **changes))


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

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from anyscene.errors import ConfigError, WeightsError
from anyscene.project import digests, parameters
from anyscene.segmenters import load_segmenter
from anyscene.weights import described, reading
from anyscene_demo.segmenters.dense.segmenter import DenseSegmenter
from anyscene_demo.segmenters.mask.segmenter import MaskSegmenter

pytestmark = pytest.mark.integration

KINDS = {"dense": DenseSegmenter, "mask": MaskSegmenter}


@pytest.fixture(params=["dense", "mask"])
def copied(request, random_weights, tmp_path):
    shutil.copytree(random_weights / request.param, tmp_path / request.param)
    return tmp_path / request.param


def load(folder, text):
    return KINDS[folder.name](folder.name, folder, text)


def test_missing_weights_name_the_file(copied, minilm):
    (copied / described.TENSORS).unlink()
    with pytest.raises(WeightsError, match=r"model\.safetensors.*make zoo"):
        load(copied, minilm)


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
def test_truncated_weights(copied, minilm, keep):
    whole = (copied / described.TENSORS).read_bytes()
    (copied / described.TENSORS).write_bytes(whole[:keep])
    with pytest.raises(WeightsError, match="damaged"):
        load(copied, minilm)


def test_a_flipped_bit_is_refused_where_the_hash_is_noted(copied, minilm):
    file = copied / described.TENSORS
    load(copied, minilm)
    reading.note(copied.parent, f"{copied.name}/{file.name}", digests.content_hash(file))
    load(copied, minilm)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.safetensors: damaged or not what was published"):
        load(copied, minilm)


def test_damaged_description(copied, minilm):
    (copied / described.DESCRIPTION).write_text('{"architecture":')
    with pytest.raises(WeightsError, match="damaged"):
        load(copied, minilm)


def test_a_pickle_is_not_executed(copied, minilm):
    torch.save({"a": torch.zeros(1)}, copied / described.TENSORS)
    with pytest.raises(WeightsError, match="damaged"):
        load(copied, minilm)


def test_other_kind_or_text_space(copied, minilm):
    description = json.loads((copied / described.DESCRIPTION).read_text())
    description["architecture"]["width"] = 512
    (copied / described.DESCRIPTION).write_text(json.dumps(description))
    with pytest.raises(WeightsError, match="384 wide text space of minilm"):
        load(copied, minilm)


def test_tensors_that_do_not_fit(copied, minilm):
    tensors = load_file(copied / described.TENSORS)
    name = next(n for n in tensors if n.startswith("pyramid"))
    save_file({n: t for n, t in tensors.items() if n != name}, copied / described.TENSORS)
    with pytest.raises(
        WeightsError, match=rf"weights of another architecture \(first difference: {name}\); run `make zoo`"
    ):
        load(copied, minilm)
    save_file(tensors | {name: torch.zeros(3, 3, 3, 3, 3)}, copied / described.TENSORS)
    with pytest.raises(WeightsError, match="shape"):
        load(copied, minilm)


def test_loaded_by_name_from_the_parameters(random_weights):
    params = parameters.load()
    section = parameters.dataclasses.replace(params.segmenters, weights=str(random_weights))
    params = parameters.dataclasses.replace(params, segmenters=section)
    assert isinstance(load_segmenter("mask", params), MaskSegmenter)
    assert isinstance(load_segmenter("dense", params), DenseSegmenter)
    with pytest.raises(
        ConfigError, match=r"known: dense, grounded, lseg, .*, and any whose answers lie in \S+/odise \("
    ):
        load_segmenter("odise", params)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("widths", None, "describes no network"),
        ("widths", ["1"], "describes no network"),
        ("widths", [], "describes no network"),
        ("widths", [14, 16, 16, 16], "describes no network"),  # of which no eighth is whole
        ("inner", 1 << 50, "another shape"),  # more than any memory, which is not taken
        ("inner", 1 << 80, "describes no network"),
        ("side", None, "side of 16 to 2048 pixels"),
        ("side", float("inf"), "side of 16 to 2048 pixels"),
        ("side", 1 << 20, "side of 16 to 2048 pixels"),
    ],
)
def test_an_architecture_that_is_none(copied, minilm, key, value, message):
    description = json.loads((copied / described.DESCRIPTION).read_text())
    description["architecture"][key] = value
    (copied / described.DESCRIPTION).write_text(json.dumps(description))
    with pytest.raises(WeightsError, match=message):
        load(copied, minilm)


@pytest.mark.parametrize("content", ["[]", "3", '{"architecture": 3}', "{}"])
def test_a_description_of_something_else(copied, minilm, content):
    (copied / described.DESCRIPTION).write_text(content)
    with pytest.raises(WeightsError, match="damaged"):
        load(copied, minilm)


@pytest.mark.parametrize("names", [None, [], "wall", [1]])
def test_a_mask_model_without_names(random_weights, tmp_path, minilm, names):
    folder = shutil.copytree(random_weights / "mask", tmp_path / "mask")
    description = json.loads((folder / described.DESCRIPTION).read_text()) | {"names": names}
    (folder / described.DESCRIPTION).write_text(json.dumps(description))
    with pytest.raises(WeightsError, match="lists no names"):
        load(folder, minilm)

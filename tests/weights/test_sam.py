"""SAM in a folder of its own, as the demo has it."""

import json

import pytest
import torch
from safetensors.torch import save_file

from anyscene.errors import WeightsError
from anyscene.weights import sam

SMALL = {
    "image_size": 32,
    "patch": 4,
    "width": 16,
    "depth": 1,
    "heads": 2,
    "prompt_width": 16,
    "pixel_mean": [120.0, 120.0, 120.0],
    "pixel_std": [60.0, 60.0, 60.0],
}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    (tmp_path / sam.ARCHITECTURE).write_text(json.dumps(SMALL))
    save_file(sam.build_sam(**SMALL).state_dict(), tmp_path / sam.WEIGHTS)
    return tmp_path


def test_what_was_written_is_read(folder):
    found, again = (sam.read_own(folder).state_dict() for _ in range(2))
    assert found and all(torch.equal(value, again[name]) for name, value in found.items())


@pytest.mark.parametrize("name", [sam.ARCHITECTURE, sam.WEIGHTS])
@pytest.mark.parametrize("keep", [0, 20, None])
def test_a_folder_without_whole_files_is_named(folder, name, keep):
    file = folder / name
    if keep is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=f"^{folder}: cannot load SAM from here: "):
        sam.read_own(folder)


def test_weights_of_another_size_are_refused(folder):
    (folder / sam.ARCHITECTURE).write_text(json.dumps(SMALL | {"width": 24}))
    with pytest.raises(
        WeightsError, match=r"another architecture: .*, with \d+ more such; get it again from"
    ):
        sam.read_own(folder)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(folder, odd):
    state = sam.build_sam(**SMALL).state_dict()
    name = "mask_decoder.iou_token.weight"
    state[name][0, 3] = odd
    save_file(state, folder / sam.WEIGHTS)
    with pytest.raises(WeightsError, match=f"^{folder}: damaged, {name} has values that are no numbers"):
        sam.read_own(folder)

"""Points obey a slow twin; SAM is loaded from published checkpoints, and from nothing that is damaged."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import segment_anything
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anyscene.capability import pseudo_masks
from anyscene.errors import SynthesisError
from anyscene.project import parameters
from anyscene.weights import sam as sam_module
from tests.builders import REPOSITORY
from tests.twins import released_code

pytestmark = pytest.mark.integration

DEMO = parameters.load(REPOSITORY / "params.yaml").synthesis
CPU = torch.device("cpu")


def slow_points(coarse):
    """The rule of `select_points`, written with loops and sets."""
    height, width = coarse.shape
    top, left = round(height * 70 / 512), round(width * 70 / 512)
    mask = {(r, c) for r in range(top, height - top) for c in range(left, width - left) if coarse[r, c]}
    if len(mask) < 10:
        r, c = height // 2, width // 2
        return [(r - 1, c - 1), (r - 1, c), (r, c - 1), (r, c)]
    components, left_over = [], sorted(mask)
    while left_over:
        component, edge = set(), [left_over[0]]
        while edge:
            r, c = edge.pop()
            if (r, c) in mask and (r, c) not in component:
                component.add((r, c))
                edge += [(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        components.append(component)
        left_over = [place for place in left_over if place not in component]
    components.sort(key=lambda component: (-len(component), min(component)))
    shares = [3] if len(components) == 1 else [2, 1] if len(components) == 2 else [1, 1, 1]
    points = []
    for component, share in zip(components, shares, strict=False):
        chosen = []
        outside = [
            (r, c) for r in range(-1, height + 1) for c in range(-1, width + 1) if (r, c) not in component
        ]
        for _ in range(min(share, len(component))):
            chosen.append(
                max(
                    sorted(component),
                    key=lambda p: min((p[0] - r) ** 2 + (p[1] - c) ** 2 for r, c in outside + chosen),
                )
            )
        points += chosen
    return points


@st.composite
def masks(draw):
    height, width = draw(st.integers(12, 26)), draw(st.integers(12, 26))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "blobs", "full", "empty"]))
    if kind == "noise":
        return rng.random((height, width)) < draw(st.floats(0.02, 0.9))
    mask = np.full((height, width), kind == "full")
    if kind == "blobs":
        for _ in range(draw(st.integers(1, 4))):
            r, c = rng.integers(height), rng.integers(width)
            mask[r : r + rng.integers(2, 10), c : c + rng.integers(2, 10)] = True
    return mask


@settings(max_examples=200, deadline=None)
@given(masks())
def test_points_equal_the_slow_twin(mask):
    points = pseudo_masks.select_points(mask)
    assert points.tolist() == [list(point) for point in slow_points(mask)]


def test_points_of_hand_made_masks():
    mask = np.zeros((64, 64), bool)
    assert pseudo_masks.select_points(mask).tolist() == [[31, 31], [31, 32], [32, 31], [32, 32]]
    mask[:9] = True  # all of it in the border
    assert len(pseudo_masks.select_points(mask)) == 4
    mask[20:29, 20:29] = True
    assert pseudo_masks.select_points(mask)[0].tolist() == [24, 24]
    mask[40:43, 40:43] = True
    points = pseudo_masks.select_points(mask)
    assert [bool(p[0] < 30) for p in points] == [True, True, False]
    mask[40:43, 20:23] = mask[50:52, 30:32] = True
    assert pseudo_masks.select_points(mask).tolist() == [[24, 24], [41, 21], [41, 41]]


def released_masks():
    """Masks of 512x512: empty, nearly so, with equal components, with a large one, and blobs at random."""
    rng = np.random.default_rng(3)
    empty = np.zeros((512, 512), bool)
    yield "empty", empty
    few = empty.copy()
    few[100:103, 200:203] = few[0:60, 0:60] = True  # nine pixels, and what the border hides
    yield "few", few
    for name, places in (
        ("one", [(100, 100, 40, 25)]),
        ("two", [(100, 100, 12, 9), (300, 200, 30, 14)]),
        ("two equal", [(101, 300, 10, 10), (100, 100, 10, 10)]),
        ("three, two of them equal", [(200, 100, 9, 9), (100, 200, 9, 9), (300, 300, 6, 6)]),
        ("in one row of blocks", [(101, 100, 9, 9), (100, 200, 9, 9), (300, 300, 9, 9)]),
    ):
        mask = empty.copy()
        for r, c, height, width in places:
            mask[r : r + height, c : c + width] = True
        yield name, mask
    large = np.zeros((96, 96), bool)
    large[13:83, 13:78] = True  # more than the background
    large[30:34, 80:83] = True
    yield "larger than the background", large
    for seed in range(3):
        mask = empty.copy()
        for _ in range(2 + seed):
            r, c = rng.integers(60, 420, 2)
            y, x = np.mgrid[:512, :512]
            mask |= ((y - r) / rng.integers(5, 30)) ** 2 + ((x - c) / rng.integers(5, 30)) ** 2 < 1
        yield f"blobs {seed}", mask


RELEASED = dict(released_masks())


@pytest.mark.parametrize("name", RELEASED)
def test_points_of_the_released_code_are_those_of_its_restatement(name):
    found = pseudo_masks.released_points(RELEASED[name])
    assert found.dtype == np.int64 and found.tolist() == released_code.prompts(RELEASED[name])


def test_prompts_of_the_released_code_for_an_empty_mask_are_one_pixel():
    assert pseudo_masks.released_points(np.zeros((512, 512), bool)).tolist() == [[240, 240]] * 3
    assert len(pseudo_masks.released_points(np.zeros((64, 64), bool))) == 3


def test_ways_by_hand():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    one, diagonal, knight = 65536, 91750, 143976
    corner = [[2 * diagonal, knight, 2 * one], [knight, diagonal, one], [2 * one, one, 0]]
    assert pseudo_masks.chamfer(mask)[:3, :3].tolist() == corner
    assert (pseudo_masks.chamfer(mask)[::-1, ::-1] == pseudo_masks.chamfer(mask)).all()


def test_coarse_mask_exceeds_the_threshold():
    assert pseudo_masks.coarse_mask(np.array([0.2, 0.3, 0.31]), 0.3).tolist() == [False, False, True]


# --- SAM ---------------------------------------------------------------------------------------------

SMALL = {
    "image_size": 32,
    "patch": 4,
    "depth": 1,
    "heads": 2,
    "prompt_width": 16,
    "pixel_mean": (120.0, 120.0, 120.0),
    "pixel_std": (60.0, 60.0, 60.0),
}
WIDTHS = {"vit_b": 16, "vit_l": 24, "vit_h": 32}


def small(kind):
    return sam_module.build_sam(**SMALL, width=WIDTHS[kind])


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Folder with small checkpoints by the names of the published ones; segment-anything's own builders by
    these names make as small ones."""
    for kind in WIDTHS:
        monkeypatch.setitem(sam_module.sam_model_registry, kind, lambda kind=kind: small(kind))
        torch.manual_seed(0)
        torch.save(small(kind).state_dict(), tmp_path / f"sam_{kind}.pth")
    return tmp_path


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", WIDTHS)
def test_a_published_checkpoint_is_loaded(published, kind, zipped):
    file = published / f"sam_{kind}.pth"
    state = torch.load(file, weights_only=True)
    if not zipped:
        torch.save(state, file, _use_new_zipfile_serialization=False)
    torch.manual_seed(1)  # what segment-anything begins with is not what was saved
    loaded = pseudo_masks.load_sam(file, CPU).predictor.model
    assert not loaded.training
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, state[name]), name
    mask = pseudo_masks.load_sam(file, CPU).mask(
        np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8), np.array([[10, 9], [30, 20]])
    )
    assert mask.shape == (40, 30) and mask.dtype == bool


def test_points_are_rows_and_columns(published, monkeypatch):
    """segment-anything takes x before y."""
    sam, asked = pseudo_masks.load_sam(published / "sam_vit_b.pth", CPU), {}
    answer = lambda self, **options: asked.update(options) or ([np.ones((2, 2), bool)], None, None)  # noqa: E731
    monkeypatch.setattr(segment_anything.SamPredictor, "predict", answer)
    sam.mask(np.zeros((40, 30, 3), np.uint8), np.array([[10, 9], [30, 20]]))
    assert asked["point_coords"].tolist() == [[9, 10], [20, 30]]
    assert asked["point_labels"].tolist() == [1, 1] and asked["multimask_output"] is False


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_checkpoint_is_refused(published, keep, zipped):
    file = published / "sam_vit_b.pth"
    state = torch.load(file, weights_only=True)
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(SynthesisError, match=r"sam_vit_b\.pth: .*Set `synthesis\.sam`"):
        pseudo_masks.load_sam(file, CPU)


def test_a_checkpoint_of_another_architecture_is_refused(published):
    shutil.copy(published / "sam_vit_b.pth", published / "sam_vit_h.pth")
    with pytest.raises(
        SynthesisError,
        match=r"sam_vit_h\.pth: weights of another architecture: .*, with \d+ more such; get it again from",
    ) as caught:
        pseudo_masks.load_sam(published / "sam_vit_h.pth", CPU)
    assert len(str(caught.value).replace(str(published), "")) < 400
    for content in ([torch.ones(1)], {"model": torch.ones(1)}, {"model": {}}, torch.ones(1)):
        torch.save(content, published / "sam_vit_b.pth")
        with pytest.raises(SynthesisError, match=r"sam_vit_b\.pth"):
            pseudo_masks.load_sam(published / "sam_vit_b.pth", CPU)


class Code:
    """Writes a file when a careless reader unpickles it."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("form", ["zip", "old", "pickle"])
def test_code_in_a_checkpoint_is_not_run(published, form):
    file, content = published / "sam_vit_b.pth", {"a": torch.ones(1), "b": Code(published / "ran")}
    if form == "pickle":
        file.write_bytes(pickle.dumps(content["b"]))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(SynthesisError, match=r"more than tensors.*; nothing of it ran"):
        pseudo_masks.load_sam(file, CPU)
    assert not (published / "ran").exists()


def test_checkpoints_are_told_by_name(tmp_path):
    with pytest.raises(SynthesisError, match=r"none_vit_h.*synthesis\.sam"):
        pseudo_masks.load_sam(tmp_path / "none_vit_h.pth", CPU)
    (tmp_path / "weights.pth").touch()
    with pytest.raises(SynthesisError, match="vit_h"):
        pseudo_masks.load_sam(tmp_path / "weights.pth", CPU)


def test_the_architecture_in_a_folder_must_be_known(tmp_path):
    shutil.copytree(DEMO.sam, tmp_path / "sam")
    described = json.loads((tmp_path / "sam" / "sam.json").read_text())
    (tmp_path / "sam" / "sam.json").write_text(json.dumps(described | {"colour": 1}))
    with pytest.raises(SynthesisError, match="unknown key colour"):
        pseudo_masks.load_sam(tmp_path / "sam", CPU)
    (tmp_path / "sam" / "sam.json").write_text(json.dumps(described | {"depth": described["depth"] + 1}))
    with pytest.raises(SynthesisError, match=r"image_encoder\.blocks\.\d.* is missing"):
        pseudo_masks.load_sam(tmp_path / "sam", CPU)


def test_a_flipped_bit_is_refused_where_the_hash_is_noted(tmp_path):
    shutil.copytree(REPOSITORY / "models/demo/sam", tmp_path / "sam")
    shutil.copy(REPOSITORY / "models/demo/SHA256SUMS", tmp_path)
    pseudo_masks.load_sam(tmp_path / "sam", CPU)
    file = tmp_path / "sam/model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(SynthesisError, match=r"sam/model\.safetensors: damaged or not what was published"):
        pseudo_masks.load_sam(tmp_path / "sam", CPU)

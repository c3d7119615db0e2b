"""Depth Anything of random weights, in the folder that its published ones come in."""

import json

import numpy as np
import pytest
import torch
import transformers

from anyscene.errors import WeightsError
from anyscene.segmenters.depth_anything import DepthAnything

RGB = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)


@pytest.fixture(scope="module", params=["relative", "metric"])
def folder(request, tmp_path_factory):
    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(
        hidden_size=24,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=24,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
        depth_estimation_type=request.param,
        max_depth=20 if request.param == "metric" else 1,
    )
    path = tmp_path_factory.mktemp(request.param)
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(path)
    transformers.DPTImageProcessor(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14, do_pad=False
    ).save_pretrained(path)
    return path


def test_depth_is_that_of_the_network_at_the_size_of_the_image(folder):
    model = DepthAnything.load(folder)
    depth = model(RGB)
    assert depth.shape == RGB.shape[:2] and depth.dtype == np.float32 and depth.min() >= 0
    assert model.metric == ("metric" in folder.name) and model.name == folder.name
    prepare = transformers.DPTImageProcessor.from_pretrained(folder)
    pixels = prepare(images=[RGB], return_tensors="pt")["pixel_values"]
    network = transformers.DepthAnythingForDepthEstimation.from_pretrained(folder).eval()
    with torch.no_grad():
        outputs = network(pixels)
    (own,) = prepare.post_process_depth_estimation(outputs, [RGB.shape[:2]])  # bicubic there
    np.testing.assert_allclose(depth, own["predicted_depth"].numpy(), atol=0.05 * max(depth.max(), 1e-3))


def test_folders_that_hold_no_such_model(folder, tmp_path):
    with pytest.raises(WeightsError, match=r"config\.json: not readable"):
        DepthAnything.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dpt"}))
    with pytest.raises(WeightsError, match="describes a 'dpt' model, wanted depth_anything"):
        DepthAnything.load(tmp_path)
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(WeightsError, match="damaged weights"):
        DepthAnything.load(tmp_path)

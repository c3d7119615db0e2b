"""Mask2Former and OneFormer of random weights, small, in the folders that their published ones come in."""

import json

import torch
import transformers

CLASSES = ("wall-other-merged", "floor-wood", "couch", "dining table", "door-stuff")
SWIN = dict(
    image_size=64,
    embed_dim=16,
    depths=[1, 1, 1, 1],
    num_heads=[1, 1, 2, 2],
    window_size=4,
    out_features=["stage1", "stage2", "stage3", "stage4"],
)
BOTH = dict(
    hidden_dim=32,
    encoder_feedforward_dim=32,
    dim_feedforward=32,
    encoder_layers=1,
    decoder_layers=2,
    num_attention_heads=2,
    num_queries=12,
)
OWN = {
    "mask2former": dict(feature_size=32, mask_feature_size=32),
    "oneformer": dict(
        conv_dim=32,
        mask_dim=32,
        query_dec_layers=1,
        text_encoder_width=16,
        text_encoder_num_layers=1,
        text_encoder_n_ctx=2,
    ),
}
KIND = {"mask2former": "Mask2Former", "oneformer": "OneFormer"}
OVERLAP = 0.2  # random masks leave each other less than trained ones
# settings that an image processor takes, and only trips over when it has an image
UNUSABLE = (
    {"image_std": "x"},
    {"image_std": [0, 0, 0]},
    {"image_mean": [0.5, 0.5]},
    {"resample": 99},
    {"rescale_factor": "a"},
    {"size": -5},
)
SIZE = {"shortest_edge": 64, "longest_edge": 128}


def write(name, folder, seed=0):
    """`folder`, with the model `name` in it. Its queries differ and are sure of their classes, as random ones
    do not and are not."""
    torch.manual_seed(seed)
    config = getattr(transformers, f"{KIND[name]}Config")(
        backbone_config=transformers.SwinConfig(**SWIN),
        **BOTH,
        **OWN[name],
        id2label=dict(enumerate(CLASSES)),
    )
    model = getattr(transformers, f"{KIND[name]}ForUniversalSegmentation")(config)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "class_predictor" in key or "class_embed" in key:
                value.normal_(0, 300)
                value.view(len(CLASSES) + 1, -1)[-1] -= 900 * (value.ndim == 1)  # "no object" is rare
            elif "mask_embed" in key:
                value.normal_(0, 0.5)
            elif "queries_" in key:
                value.normal_(0, 10)
            elif "transformer_module" in key and value.ndim > 1:
                value.normal_(0, 0.3)
    model.save_pretrained(folder)
    getattr(transformers, f"{KIND[name]}ImageProcessor")(size=SIZE).save_pretrained(folder)
    if name == "oneformer":  # as published: transformers would look for the file at the hub
        file = folder / "preprocessor_config.json"
        settings = json.loads(file.read_text())
        settings |= {"class_info_file": "coco_panoptic.json", "repo_path": "shi-labs/oneformer_demo"}
        file.write_text(json.dumps(settings))
    return folder

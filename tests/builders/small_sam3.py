"""SAM 3 of random weights, small, as transformers saves it and in the form of the published one."""

import json

import torch
import transformers
from safetensors.torch import load_file, save_file

SIDE, GRID = 56, 16  # of the image that it sees, and of its masks
CONFIDENCE = 0.2  # random queries are sure of nothing
HEAD = dict(hidden_size=32, num_attention_heads=2)
LAYERS = dict(num_layers=1, intermediate_size=32)


def write(folder, seed=0):
    """`folder`, with the model in it. Its queries differ, as random ones do not."""
    torch.manual_seed(seed)
    vision = dict(
        backbone_config=dict(
            model_type="sam3_vit_model",
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            pretrain_image_size=28,
            window_size=2,
            global_attn_indexes=[1],
        ),
        fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )
    text = dict(
        model_type="clip_text_model",
        vocab_size=49408,
        hidden_size=16,
        intermediate_size=32,
        projection_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=32,
    )
    config = transformers.Sam3Config(
        vision_config=vision,
        text_config=text,
        geometry_encoder_config=dict(**HEAD, **LAYERS),
        detr_encoder_config=dict(**HEAD, **LAYERS),
        detr_decoder_config=dict(**HEAD, **LAYERS, num_queries=8),
        mask_decoder_config=HEAD,
    )
    model = transformers.Sam3Model(config)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "query_embed" in key or "text_projection" in key or "token_embedding" in key:
                value.normal_(0, 1)
            elif ("mask_embedder" in key or "dot_product" in key) and value.ndim > 1:
                value.normal_(0, 0.5)
    model.save_pretrained(folder)
    return folder


def publish(folder, to):
    """The same weights as facebook/sam3 holds them: beside a tracker's, of a model for videos."""
    to.mkdir()
    config = json.loads((folder / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({"model_type": "sam3_video", "detector_config": config}))
    state = {f"detector_model.{key}": value for key, value in load_file(folder / "model.safetensors").items()}
    state["tracker_model.no_memory_embedding"] = torch.zeros(1, 1, 32)
    save_file(state, to / "model.safetensors", {"format": "pt"})
    return to

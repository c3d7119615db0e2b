"""What TAP's official code says, recorded for the tests: tap_official.npz, and the names and shapes of its
parameters, tap_vit_h.txt, tap_vit_l.txt and tap_vit_b.txt.

    git clone https://github.com/baaivision/tokenize-anything clone  # 9cefd56
    git clone https://github.com/peoplelu/SAS sas                    # 38764c2
    pip install opencv-python-headless
    python -m tests.segmenters.captions.tap.record_official clone sas

The clone runs on a CPU with this project's packages. Its text decoder calls two functions of flash-attn,
which needs a GPU; what they compute is said here in plain PyTorch.
"""

import ast
import sys
import types
from pathlib import Path

import numpy as np
import torch

from tests.builders import small_tap

HERE = Path(__file__).parent
EVERY = 37  # of the cells of masks, those that are recorded


def attend(query, keys, values, key, value, softmax_scale, causal, cache_seqlens):
    """flash_attn_with_kvcache: attention of query [N, n, heads, D] to what lies in the caches up to
    cache_seqlens i4[N], and to key and value, which are put there."""
    start, end = int(cache_seqlens[0]), int(cache_seqlens[0]) + key.shape[1]
    count = len(query)
    keys[:count, start:end], values[:count, start:end] = key, value
    scores = torch.einsum("nqhd,nkhd->nhqk", query, keys[:count, :end]) * softmax_scale
    later = torch.arange(end)[None] > start + torch.arange(key.shape[1])[:, None]
    weight = scores.masked_fill(later, -torch.inf).softmax(-1)
    return torch.einsum("nhqk,nkhd->nqhd", weight, values[:count, :end])


def rotate(x, cos, sin, interleaved, inplace):
    """apply_rotary_emb: each pair of x [N, n, heads, D] turned by the angles of cos and sin [n, D / 2]."""
    assert interleaved
    pair = torch.view_as_complex(x.unflatten(3, (-1, 2)).contiguous())
    return torch.view_as_real(pair * torch.complex(cos, sin)[:, None]).flatten(3)


def stand_in(clone):
    """Make the code of `clone` importable."""
    flash = types.ModuleType("flash_attn")
    rotary = types.ModuleType("flash_attn.layers.rotary")
    flash.flash_attn_func, flash.flash_attn_with_kvcache = None, attend
    rotary.apply_rotary_emb = rotate
    sys.modules |= {
        "flash_attn": flash,
        "flash_attn.layers": types.ModuleType("flash_attn.layers"),
        "flash_attn.layers.rotary": rotary,
        "tokenize_anything.version": types.SimpleNamespace(version="", git_version="", __version__=""),
    }
    sys.path.insert(0, str(clone))


def official(kind):
    """The official model of that kind, in single precision, as the clone builds it."""
    from tokenize_anything.models.easy_build import model_registry

    return model_registry[kind](dtype="float32")


def small(file):
    """The official model in the small sizes and with the weights of the builder. file: of its tokenizer."""
    from tokenize_anything import modeling

    own = small_tap.SIZES
    model = modeling.ImageTokenizer(
        image_encoder=modeling.ImageEncoderViT(
            own.depth, own.width, own.heads, 4, own.patch, own.window, own.image, own.region
        ),
        prompt_encoder=modeling.PromptEncoder(own.region, own.image),
        image_decoder=modeling.ImageDecoder(
            own.region_depth, own.region, own.region_heads, sem_embed_dim=own.concepts
        ),
        concept_projector=modeling.ConceptProjector(),
        text_tokenizer=modeling.TextTokenizer(str(file)),
        text_decoder=modeling.TextDecoder(
            own.text_depth, own.text, own.text_heads, 4, own.region, own.length, own.words
        ),
    )
    for block in model.image_decoder.transformer.blocks:  # 2048 whatever the width
        block.mlp = type(block.mlp)(own.region, own.feedforward)
    left = model.load_state_dict(small_tap.state(), strict=False)
    assert not left.unexpected_keys, left
    return model.eval()


def script(sas):
    """(Predictor, farthest_point) of SAS's TAP/infer.py, of which nothing else is run."""
    file = sas / "point_feat_extraction/seem_feat/TAP/infer.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    wanted = (ast.ClassDef, ast.FunctionDef)
    tree.body = [part for part in tree.body if isinstance(part, wanted)]
    import cv2
    from tokenize_anything.utils.image import im_rescale, im_vstack

    plots = types.SimpleNamespace(close=lambda: None)
    names = {
        "np": np,
        "torch": torch,
        "cv2": cv2,
        "plt": plots,
        "im_rescale": im_rescale,
        "im_vstack": im_vstack,
    }
    exec(compile(tree, file, "exec"), names)
    return names["Predictor"], names["farthest_point"]


def answers(model, sas, images):
    """For each image, what SAS's script gets of `model`: points, and what is decoded for them."""
    Predictor, farthest_point = script(sas)
    model.concept_projector.decode = lambda embeds, k: (embeds.argmax(-1).numpy(), embeds.amax(-1).numpy())
    model.concept_projector.reset_weights = lambda weights: None
    predictor = Predictor(model, {"concept_weights": None})
    said = []
    for of, name in ((model, "get_features"), (model, "get_outputs"), (model.text_tokenizer, "detokenize")):
        function = getattr(of, name)

        def kept(*given, function=function, **named):
            said.append(function(*given, **named))
            if isinstance(said[-1], list):
                said.append(given[0])
            return said[-2] if isinstance(said[-1], np.ndarray) else said[-1]

        setattr(of, name, kept)
    for image, masks in images:
        points = []
        for mask in masks:
            point = farthest_point(mask.astype(np.uint8))
            points.append(np.array([[*point, 1], [0, 0, 4]], np.float32))
        said.clear()
        example = {"img": image[:, :, ::-1], "points": np.array(points)}
        (result,) = predictor.get_results([example])
        features, outputs, _, tokens = said
        yield {
            "points": np.array(points)[:, 0, :2].astype(np.int64),
            "image": features["img_embeds"][0, 0].numpy(),
            "iou": outputs["iou_pred"].numpy(),
            "masks": outputs["mask_pred"].numpy(),
            "meaning": outputs["sem_tokens"][:, :, 0].numpy(),
            "concepts": outputs["sem_embeds"].numpy(),
            "tokens": np.asarray(tokens),
            "captions": result["captions"],
        }


def main(clone, sas):
    stand_in(clone)
    for kind in ("tap_vit_h", "tap_vit_l", "tap_vit_b"):
        state = official(kind).state_dict()
        lines = [f"{name} {'x'.join(map(str, value.shape)) or 'scalar'}" for name, value in state.items()]
        (HERE / f"{kind}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    file = HERE / "tokenizer.model"
    file.write_bytes(small_tap.tokenizer())
    found = {}
    for number, one in enumerate(answers(small(file), sas, small_tap.images())):
        one["image"] = one["image"].reshape(-1, one["image"].shape[-1])[::EVERY]
        one["masks"] = one["masks"].reshape(*one["masks"].shape[:2], -1)[..., :: EVERY * EVERY]
        found |= {f"{number}_{name}": value for name, value in one.items()}
    file.unlink()
    np.savez_compressed(HERE / "tap_official.npz", **found)


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:3]))

"""SEEM's own text tower, with which it names masks: a transformer on CLIP's byte pairs, trained by UniCL
(Yang et al. 2022). Its blocks are open_clip's; modules have the names of the published files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from open_clip import OPENAI_IMAGENET_TEMPLATES, tokenize
from open_clip.transformer import LayerNorm, QuickGELU, ResidualAttentionBlock
from torch import nn

CONTEXT = 77  # the most tokens of a text
TOKENS = 49408  # of CLIP's byte pairs
TINY = 1e-7  # beside the length that a vector is divided by
# a name alone, and the 80 sentences of CLIP's zero-shot classification of ImageNet
TEMPLATES = (lambda name: f"{name}.", *OPENAI_IMAGENET_TEMPLATES)
SUFFIXES = ("-other", "-merged", "-stuff")  # of COCO's names, which are not said


class TextTower(nn.Module):
    """Names to unit vectors, with which the features of masks are compared."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.width = width
        self.lang_encoder = Transformer(width, heads, depth)
        self.lang_proj = nn.Parameter(torch.empty(width, width))
        self.logit_scale = nn.Parameter(torch.ones([]))

    def names(self, names: Sequence[str]) -> torch.Tensor:
        """f4[K, T]: the mean of each of `names` over TEMPLATES, of length 1."""
        found = []
        for name in names:
            for suffix in SUFFIXES:
                name = name.replace(suffix, "")
            said = self(tokenize([template(name) for template in TEMPLATES], CONTEXT))
            found.append(nn.functional.normalize(said.mean(0), dim=0))
        return torch.stack(found)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """i8[K, CONTEXT] -> f4[K, T], of length 1."""
        end = tokens.argmax(1)  # the end has the highest number
        # a token sees none of those after it, so that nothing after the last end matters
        state = self.lang_encoder(tokens[:, : int(end.max()) + 1].to(self.lang_proj.device))
        return unit(state[torch.arange(len(end)), end] @ self.lang_proj)

    def compare(self, feature: torch.Tensor, names: torch.Tensor) -> torch.Tensor:
        """f4[..., K]: the logits of `names` f4[K, T] for features f4[..., T]."""
        return self.logit_scale.exp() * unit(feature) @ names.T


class Transformer(nn.Module):
    """Tokens to states. Each token sees those before it."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(TOKENS, width)
        self.positional_embedding = nn.Parameter(torch.empty(CONTEXT, width))
        norm = partial(LayerNorm, eps=1e-12)
        self.resblocks = nn.ModuleList(
            ResidualAttentionBlock(width, heads, act_layer=QuickGELU, norm_layer=norm) for _ in range(depth)
        )
        self.ln_final = norm(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """i8[K, n], n <= CONTEXT -> f4[K, n, T]."""
        length = tokens.shape[1]
        later = torch.full((length, length), -torch.inf, device=tokens.device).triu(1)
        x = self.token_embedding(tokens) + self.positional_embedding[:length]
        for block in self.resblocks:
            x = block(x, attn_mask=later)
        states: torch.Tensor = self.ln_final(x)
        return states


def unit(x: torch.Tensor) -> torch.Tensor:
    """`x` f4[..., T], with rows of length 1, but for those that are almost zero."""
    found: torch.Tensor = x / (x.norm(dim=-1, keepdim=True) + TINY)
    return found

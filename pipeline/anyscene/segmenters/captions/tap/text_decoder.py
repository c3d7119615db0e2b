"""TAP's text decoder: a causal transformer that begins with the token of a region. Modules have the names of
the published files."""

from __future__ import annotations

import torch
from timm.layers.mlp import Mlp
from torch import nn
from torch.nn import functional

THETA = 10000.0  # the longest wave of rotary embeddings (Su et al. 2021)
Past = tuple[torch.Tensor, torch.Tensor]  # keys and values f4[N, heads, p, D / heads] of what came before


class TextDecoder(nn.Module):
    """Tokens of regions to texts, as numbers of words."""

    def __init__(self, prompt: int, width: int, heads: int, depth: int, length: int, words: int) -> None:
        """prompt: the width of a region's token. length: the most tokens of a sequence, which are that of the
        region, a beginning and words."""
        super().__init__()
        self.length = length
        self.encoder = nn.Linear(prompt, width, bias=False)
        self.transformer = CausalTransformer(width, heads, depth, words)

    def forward(self, regions: torch.Tensor, begin: int, end: int) -> list[list[int]]:
        """The words of each of regions f4[N, D] up to the first `end`, each the likeliest after those before
        it. begin: the number of what stands before the first word."""
        words = torch.full((len(regions), 1), begin, device=regions.device)
        x = torch.cat([self.encoder(regions)[:, None], self.transformer.tok_embeddings(words)], 1)
        past: list[Past | None] = [None] * len(self.transformer.blocks)
        ended = torch.zeros(len(regions), dtype=torch.bool, device=regions.device)
        said = []
        for _ in range(self.length - 2):
            word = self.transformer(x, past).argmax(1)
            said.append(word)
            ended |= word == end
            if ended.all():
                break
            x = self.transformer.tok_embeddings(word)[:, None]
        texts = torch.stack(said, 1).tolist()
        return [text[: text.index(end)] if end in text else text for text in texts]


class CausalTransformer(nn.Module):
    """What follows a sequence."""

    def __init__(self, width: int, heads: int, depth: int, words: int) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(words, width)
        self.blocks = nn.ModuleList(CausalBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.text_proj = nn.Linear(width, words, bias=False)

    def forward(self, x: torch.Tensor, past: list[Past | None]) -> torch.Tensor:
        """f4[N, words]: the logits of the word after f4[N, n, D], which follow what the blocks have seen
        before. `past` then holds these too."""
        for number, block in enumerate(self.blocks):
            x, past[number] = block(x, past[number])
        found: torch.Tensor = self.text_proj(self.norm(x[:, -1])).float()
        return found


class CausalBlock(nn.Module):
    """A transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = CausalAttention(width, heads)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: torch.Tensor, past: Past | None) -> tuple[torch.Tensor, Past]:
        seen, past = self.attn(self.norm1(x), past)
        x = x + seen
        return x + self.mlp(self.norm2(x)), past


class CausalAttention(nn.Module):
    """Attention to what came before, with rotary embeddings."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor, past: Past | None) -> tuple[torch.Tensor, Past]:
        count, new, width = x.shape
        query, key, value = self.qkv(x).view(count, new, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        start = 0 if past is None else past[0].shape[2]
        query, key = rotated(query, start), rotated(key, start)
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        before = torch.ones(new, start + new, dtype=torch.bool, device=x.device).tril(start)
        seen = functional.scaled_dot_product_attention(query, key, value, before)
        return self.proj(seen.transpose(1, 2).reshape(count, new, width)), (key, value)


def rotated(x: torch.Tensor, start: int) -> torch.Tensor:
    """f4[N, heads, n, D] at the places start, start + 1, ...: each pair of neighbouring numbers turned by an
    angle that grows with the place."""
    length, width = x.shape[2:]
    wave = THETA ** (torch.arange(0, width, 2, device=x.device) / width)
    angle = (torch.arange(start, start + length, device=x.device)[:, None] / wave)[None, None]
    even, odd = x[..., ::2], x[..., 1::2]
    turned = (even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos())
    return torch.stack(turned, -1).flatten(3).to(x.dtype)

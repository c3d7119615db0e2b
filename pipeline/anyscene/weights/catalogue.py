"""The published weights that the pipeline knows: where they come from, their licence, where they belong.

A file has a sha256 here only where somebody published it for that very file; `sha256_from` of the entry says
who. The hexadecimal digits in the names of SAM's files are the first ones of their MD5, not of a sha256.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anyscene.errors import ConfigError, WeightsError

TENSORS = "model.safetensors"  # the name of weights that transformers writes
SAM_KINDS = ("vit_h", "vit_l", "vit_b")  # parts of the names of SAM's checkpoints
ANSWERS = "precomputed.json"  # describes the answers of a model that runs elsewhere


@dataclass(frozen=True)
class File:
    """A file of published weights."""

    name: str  # its path inside the entry's folder
    sha256: str | None = None  # where it was published
    size: int | None = None  # in bytes, where it was published
    url: str | None = None  # of the file itself, where it is not beside the others


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that belong in WEIGHTS/folder, where WEIGHTS is `segmenters.weights`.

    They can be fetched from `repository` or from `url`. Without either a user downloads them by hand, or the
    model runs `elsewhere`.
    """

    name: str
    what: str  # for people: the model, and the parameter that names it
    source: str  # the page to read about them
    licence: str
    folder: str
    files: tuple[File, ...]
    repository: str | None = None  # on Hugging Face's hub
    revision: str = "main"  # of the repository
    url: str | None = None  # of a folder that holds the files
    sha256_from: str | None = None  # who published the hashes
    elsewhere: bool = False  # the model runs on another machine, and its answers come as files

    @property
    def size(self) -> int | None:
        """The bytes of all files; None where one of them is not known."""
        sizes = [file.size for file in self.files if file.size is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None

    @property
    def fetchable(self) -> bool:
        """Whether `anyscene weights fetch` can download it."""
        return not self.elsewhere and bool(self.repository or self.url)

    def complete(self, root: Path) -> bool:
        """Whether all its files are there. root: `segmenters.weights`."""
        return all((root / self.folder / file.name).is_file() for file in self.files)

    @property
    def remedy(self) -> str:
        """What to do where the weights are missing."""
        if self.elsewhere:
            return f"it runs elsewhere ({self.source}); docs/precomputed.md says how its answers get here"
        if self.fetchable:
            return f"`anyscene weights fetch {self.name}`"
        return f"by hand from {self.source}"


def _sam(kind: str, digits: str, size: int, sha256: str) -> PublishedWeights:
    name = f"sam_vit_{kind}"
    return PublishedWeights(
        name=name,
        what=f"SAM, ViT-{kind.upper()}: synthesis.sam",
        source="https://github.com/facebookresearch/segment-anything#model-checkpoints",
        licence="Apache-2.0",
        folder="sam",
        files=(File(f"{name}_{digits}.pth", sha256, size),),
        url="https://dl.fbaipublicfiles.com/segment_anything",
        sha256_from="micro_sam (computational-cell-analytics/micro-sam), SlicerSegmentWithSAM",
    )


def _clip(
    name: str,
    what: str,
    repository: str,
    revision: str = "main",
    sha256: str | None = None,
    size: int | None = None,
) -> PublishedWeights:
    return PublishedWeights(
        name=name,
        what=what,
        source=f"https://huggingface.co/{repository}",
        licence="MIT",
        folder=name,
        files=(File("open_clip_model.safetensors", sha256, size),),
        repository=repository,
        revision=revision,
        sha256_from="the hub's address of the file's content" if sha256 else None,
    )


def _universal(name: str, what: str, licence: str, repository: str, *more: str) -> PublishedWeights:
    files = ("config.json", "preprocessor_config.json", *more, TENSORS)
    return PublishedWeights(
        name=name,
        what=what,
        source=f"https://huggingface.co/{repository}",
        licence=licence,
        folder=name,
        files=tuple(map(File, files)),
        repository=repository,
    )


def _seem(name: str, what: str, file: str) -> PublishedWeights:
    return PublishedWeights(
        name=name,
        what=f"{what}: segmenters.names",
        source="https://huggingface.co/xdecoder/SEEM",
        licence="Apache-2.0",
        folder="seem",
        files=(File(file),),
        repository="xdecoder/SEEM",
    )


def _tap(name: str, what: str, file: str) -> PublishedWeights:
    return PublishedWeights(
        name=name,
        what=f"TAP {what}: segmenters.captioner",
        source="https://huggingface.co/BAAI/tokenize-anything",
        licence="Apache-2.0",
        folder="tap",
        files=(
            File("/".join(("models", file))),  # a folder of its repository
            File(
                "text_tokenizer.model",
                "9e556afd44213b6bd1be2b850ebbbd98f5481437a8021afaf58ee7fb1818d347",
                499723,
                "https://raw.githubusercontent.com/baaivision/tokenize-anything/"
                "9cefd56ab79438b8087e79cd1ca54efa0b9c27a8/tokenize_anything/modeling/text_tokenizer.model",
            ),
        ),
        repository="BAAI/tokenize-anything",
        sha256_from="the file at commit 9cefd56 of baaivision/tokenize-anything",
    )


def _elsewhere(name: str, what: str, source: str, licence: str) -> PublishedWeights:
    return PublishedWeights(name, what, source, licence, name, (File(ANSWERS),), elsewhere=True)


CATALOGUE = (
    PublishedWeights(
        name="lseg",
        what="LSeg, ViT-L/16: segmenters.names",
        source='https://github.com/isl-org/lang-seg ("Download Demo Model")',
        licence="MIT",
        folder="lseg",
        files=(File("demo_e200.ckpt"),),
    ),
    _seem("seem", "SEEM v0, Focal-L, as in SAS", "seem_focall_v0.pt"),
    _seem("seem-focall-v1", "SEEM v1, Focal-L", "seem_focall_v1.pt"),
    _seem("seem-focalt-v0", "SEEM v0, Focal-T", "seem_focalt_v0.pt"),
    _seem("seem-focalt-v1", "SEEM v1, Focal-T", "seem_focalt_v1.pt"),
    PublishedWeights(
        name="openseg",
        what="OpenSeg, EfficientNet-B7: segmenters.names",
        source="https://github.com/tensorflow/tpu/tree/master/models/official/detection/projects/openseg",
        licence="Apache-2.0",
        folder="openseg",
        files=(
            File("saved_model.pb"),
            File("variables/variables.index"),
            File("variables/variables.data-00000-of-00001"),
        ),
        url="https://storage.googleapis.com/cloud-tpu-checkpoints/detection/projects/openseg/colab/exported_model",
    ),
    _elsewhere(
        "odise", "ODISE", "https://github.com/NVlabs/ODISE", "NVIDIA Source Code License (non-commercial)"
    ),
    _universal(
        "mask2former",
        "Mask2Former, Swin-L, COCO panoptic: segmenters.names",
        "as its page says (code: MIT)",
        "facebook/mask2former-swin-large-coco-panoptic",
    ),
    _universal(
        "oneformer",
        "OneFormer, Swin-L, COCO: segmenters.names",
        "MIT",
        "shi-labs/oneformer_coco_swin_large",
    ),
    _universal(
        "grounded",
        "Grounding DINO, base: segmenters.names; wants a SAM in its folder too",
        "Apache-2.0",
        "IDEA-Research/grounding-dino-base",
        "tokenizer.json",
        "tokenizer_config.json",
    ),
    _universal(
        "blip",
        "BLIP, large: segmenters.captioner",
        "BSD-3-Clause",
        "Salesforce/blip-image-captioning-large",
        "tokenizer.json",
        "tokenizer_config.json",
    ),
    _tap("tap", "v1.1, ViT-H, as in SAS", "tap_vit_h_v1_1.pkl"),
    _tap("tap-vit-l", "v1.1, ViT-L", "tap_vit_l_v1_1.pkl"),
    _tap("tap-vit-l-v1-0", "v1.0, ViT-L", "tap_vit_l_v1_0.pkl"),
    _tap("tap-vit-b", "v1.1, ViT-B", "tap_vit_b_v1_1.pkl"),
    _tap("tap-vit-b-v1-0", "v1.0, ViT-B", "tap_vit_b_v1_0.pkl"),
    PublishedWeights(
        name="sam3",
        what="SAM 3: segmenters.names",
        source="https://huggingface.co/facebook/sam3",
        licence="SAM License; accept it on that page, then log in with `hf auth login`",
        folder="sam3",
        files=(File("config.json"), File(TENSORS)),
        repository="facebook/sam3",
    ),
    _clip(
        "clip-vit-b32",
        "CLIP ViT-B/32: text.encoder beside LSeg",
        "timm/vit_base_patch32_clip_224.openai",
        "a6f597a30f7b82c51704746581f9a4e41421e878",
        sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
        size=605143284,
    ),
    _clip(
        "clip-vit-l14-336",
        "CLIP ViT-L/14 at 336: text.encoder beside OpenSeg",
        "timm/vit_large_patch14_clip_336.openai",
    ),
    _clip(
        "maskclip",
        "CLIP ViT-B/16: maskclip and its text.encoder",
        "timm/vit_base_patch16_clip_224.openai",
    ),
    PublishedWeights(
        name="stable-diffusion-v1-5",
        what="Stable Diffusion 1.5: synthesis.diffusion",
        source="https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5",
        licence="CreativeML OpenRAIL-M",
        folder="stable-diffusion-v1-5",
        files=(
            File("model_index.json"),
            File("feature_extractor/preprocessor_config.json"),
            File("safety_checker/config.json"),
            File(
                "safety_checker/model.safetensors",
                "9d6a233ff6fd5ccb9f76fd99618d73369c52dd3d8222376384d0e601911089e8",
                1215981830,
            ),
            File("scheduler/scheduler_config.json"),
            File("text_encoder/config.json"),
            File(
                "text_encoder/model.safetensors",
                "d008943c017f0092921106440254dbbe00b6a285f7883ec8ba160c3faad88334",
                492265874,
            ),
            File("tokenizer/merges.txt"),
            File("tokenizer/special_tokens_map.json"),
            File("tokenizer/tokenizer_config.json"),
            File("tokenizer/vocab.json"),
            File("unet/config.json"),
            File(
                "unet/diffusion_pytorch_model.safetensors",
                "19da7aaa4b880e59d56843f1fcb4dd9b599c28a1d9d9af7c1143057c8ffae9f1",
                3438167540,
            ),
            File("vae/config.json"),
            File(
                "vae/diffusion_pytorch_model.safetensors",
                "a2b5134f4dbc140d9c11f11cba3233099e00af40f262f136c691fb7d38d2194c",
                334643276,
            ),
        ),
        repository="stable-diffusion-v1-5/stable-diffusion-v1-5",
        revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        sha256_from="ModelScope's list of the same repository's files",
    ),
    _sam("h", "4b8939", 2564550879, "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
    _sam("l", "0b3195", 1249524607, "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
    _sam("b", "01ec64", 375042383, "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
)


def get(name: str) -> PublishedWeights:
    """The entry called `name`. Raises ConfigError that lists all entries where there is none of that name."""
    for entry in CATALOGUE:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in CATALOGUE)
    raise ConfigError(f"no published weights are called {name!r}; known: {known}")


def find(name: str, folder: Path, files: Sequence[str], without: str | None = None) -> Path:
    """`folder`, if it holds the `files` of the published weights `name`.

    without: how to do without them, for the message. Raises WeightsError that says which file is missing and
    where to get it.
    """
    source = get(name).source
    for file in files:
        if not (folder / file).is_file():
            raise WeightsError(
                f"{folder / file}: no such weights; get {', '.join(files)} from {source} and put them there "
                f"(`anyscene weights fetch {name}`), or go on without: "
                f"{without or f'take `{name}` out of segmenters.names'}"
            )
    return folder


def entry_of(path: Path) -> PublishedWeights | None:
    """The entry that a file or folder belongs to, by the end of its path: FOLDER, FOLDER/FILE, or the name of
    a file that no other entry has. None where it belongs to none."""
    for entry in CATALOGUE:
        if path.name == entry.folder and len(entry.files) > 1:
            return entry
        if file_of(path, entry) is not None:
            return entry
    return None


def published(path: Path) -> File | None:
    """What was published about the file at `path`, by its name; None where nothing is known of it."""
    entry = entry_of(path)
    return None if entry is None else file_of(path, entry)


def file_of(path: Path, entry: PublishedWeights) -> File | None:
    """The file of `entry` with which `path` ends; None where there is none."""
    for file in entry.files:
        whole = Path(entry.folder, file.name).parts
        if path.parts[-len(whole) :] == whole or (path.name == file.name and _alone(file.name)):
            return file
    return None


def _alone(name: str) -> bool:
    """Whether a file name identifies the file in any folder. SAM's names do, `model.safetensors` does not."""
    holders = [entry for entry in CATALOGUE if any(file.name == name for file in entry.files)]
    return len(holders) == 1 and len(holders[0].files) == 1

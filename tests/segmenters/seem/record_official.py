"""What SEEM's official code says, recorded for the tests: seem_official.npz, and the names and shapes of its
parameters, seem_focall.txt and seem_focalt.txt.

    git clone https://github.com/UX-Decoder/Segment-Everything-Everywhere-All-At-Once clone  # v1.0, 7b2e76d
    python -m tests.segmenters.seem.record_official clone

The clone runs on a CPU with this project's packages. What it imports for training, drawing and registering is
stood in for; of detectron2 only a convolution with its norm, the padding of images and the countable classes
of COCO matter here.
"""

import sys
import types
from pathlib import Path

import numpy as np
import torch
import yaml
from open_clip import tokenize
from PIL import Image
from torch import nn
from torch.nn import functional

from anyscene.segmenters.class_names import COUNTABLE, SEEM
from anyscene.segmenters.seem import segmenter
from tests.builders import small_seem

HERE = Path(__file__).parent
ABSENT = (
    "detectron2.structures detectron2.layers detectron2.data detectron2.modeling detectron2.utils.memory "
    "detectron2.utils.comm detectron2.utils.file_io kornia.contrib fvcore.nn.weight_init einops mpi4py "
    "nltk.stem.lancaster"
).split()


class Absent(types.ModuleType):
    """A module that has any name: a class that takes anything."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything


class Anything:
    def __init__(self, *arguments, **named):
        self.__dict__.update(named)

    def __call__(self, *arguments, **named):
        return lambda one: one

    register = __call__


class Convolution(nn.Conv2d):
    """As detectron2's: with a norm and an activation."""

    def __init__(self, *arguments, norm=None, activation=None, **named):
        super().__init__(*arguments, **named)
        self.norm, self.activation = norm, activation

    def forward(self, x):
        x = super().forward(x)
        x = x if self.norm is None else self.norm(x)
        return x if self.activation is None else self.activation(x)


class Padded:
    """As detectron2's ImageList, for one image."""

    def __init__(self, image, divisor):
        height, width = image.shape[1:]
        self.image_sizes = [(height, width)]
        self.tensor = functional.pad(image, (0, -width % divisor, 0, -height % divisor))[None]

    @classmethod
    def from_tensors(cls, images, divisor):
        return cls(images[0], divisor)


class Tokenizer:
    """As openai/clip-vit-base-patch32's, which fills up with its last token."""

    vocab_size = 49408

    def __call__(self, texts, max_length, **named):
        tokens = tokenize(texts, max_length)
        mask = torch.arange(max_length) <= tokens.argmax(1, keepdim=True)
        return {"input_ids": tokens.where(mask, tokens.new_tensor(49407)), "attention_mask": mask.long()}


def stand_in(clone):
    """Make the code of `clone` importable."""
    for name in ABSENT:
        parent, path = None, ""
        for part in name.split("."):
            path = f"{path}.{part}".strip(".")
            module = sys.modules.setdefault(path, Absent(path))
            if parent is not None:
                setattr(parent, part, module)
            parent = module
    layers, structures = sys.modules["detectron2.layers"], sys.modules["detectron2.structures"]
    modeling = sys.modules["detectron2.modeling"]
    layers.Conv2d, layers.get_norm = Convolution, lambda kind, width: nn.GroupNorm(32, width)
    layers.ShapeSpec = modeling.ShapeSpec = Anything
    structures.ImageList, modeling.Backbone = Padded, nn.Module
    modeling.BACKBONE_REGISTRY = modeling.SEM_SEG_HEADS_REGISTRY = Anything()
    sys.modules["detectron2.utils.memory"].retry_if_cuda_oom = lambda function: function
    countable = types.SimpleNamespace(thing_dataset_id_to_contiguous_id={n: n for n in range(COUNTABLE)})
    sys.modules["detectron2.data"].MetadataCatalog = types.SimpleNamespace(get=lambda name: countable)
    sys.modules["fvcore.nn.weight_init"].c2_xavier_fill = lambda module: None
    torch.cuda.current_device = lambda: "cpu"
    torch.Tensor.cuda = lambda self: self
    sys.path.insert(0, str(clone))


def official(clone, name, change=lambda model: None):
    """The official model of configs/seem/NAME.yaml, whose section MODEL `change` changes."""
    from modeling.architectures import build_model
    from modeling.language import vlpencoder

    config = yaml.safe_load((clone / f"configs/seem/{name}.yaml").read_text(encoding="utf-8"))
    change(config["MODEL"])
    vlpencoder.build_tokenizer = lambda config: Tokenizer()
    return build_model(config).eval()


def small(clone, kind):
    """The official model in the small sizes and with the weights of the builder."""
    own = small_seem.ARCHITECTURES[kind]

    def change(model):
        model["DIM_PROJ"] = own.width
        model["BACKBONE"]["FOCAL"].update(EMBED_DIM=own.focal.width, DEPTHS=list(own.focal.depths))
        model["TEXT"].update(WIDTH=own.width, HEADS=own.heads, LAYERS=own.text)
        model["ENCODER"].update(CONVS_DIM=own.width, MASK_DIM=own.width, TRANSFORMER_ENC_LAYERS=own.encoder)
        model["DECODER"].update(
            HIDDEN_DIM=own.width,
            NUM_OBJECT_QUERIES=own.queries,
            NHEADS=own.heads,
            DIM_FEEDFORWARD=own.feedforward,
            DEC_LAYERS=own.decoder + 1,  # it counts the queries as a layer
        )
        model["DECODER"]["TEST"].update(
            OBJECT_MASK_THRESHOLD=small_seem.CONFIDENCE, OVERLAP_THRESHOLD=small_seem.OVERLAP
        )

    model = official(clone, f"{kind}_unicl_lang_demo", change)
    unknown = model.load_state_dict(small_seem.state(kind), strict=False).unexpected_keys
    assert not unknown, unknown
    model.instance_on = False
    model.metadata = sys.modules["detectron2.data"].MetadataCatalog.get("")
    return model


@torch.inference_mode()
def answers(model, kind):
    """Arrays by name: what `model` says of each image, at every 5th pixel and of every 7th name."""
    text = model.sem_seg_head.predictor.lang_encoder
    text.get_text_embeddings(SEEM, is_eval=True)
    found = {f"{kind}_names": text.default_text_embeddings[::7].numpy()}
    given, head = [], model.sem_seg_head.forward
    model.sem_seg_head.forward = lambda *one, **named: given.append(head(*one, **named)) or given[-1]
    for number, image in enumerate(small_seem.images()):
        height, width = segmenter.resized(*image.shape[:2], small_seem.SIDE)
        image = np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
        x = {"image": torch.from_numpy(image).permute(2, 0, 1), "height": height, "width": width}
        answer = model.evaluate([x])[-1]
        found |= {
            f"{kind}{number}_logits": given[-1]["pred_logits"][0, :, ::7].numpy(),
            f"{kind}{number}_masks": given[-1]["pred_masks"][0, :, ::5, ::5].numpy(),
            f"{kind}{number}_panoptic": answer["panoptic_seg"][0].numpy().astype(np.uint8),
            f"{kind}{number}_classes": np.array([one["category_id"] for one in answer["panoptic_seg"][1]]),
            f"{kind}{number}_semantic": answer["sem_seg"].argmax(0).numpy().astype(np.uint8),
        }
    return found


def main(clone):
    stand_in(clone)
    found = {}
    for kind in small_seem.ARCHITECTURES:
        first, second = (
            official(clone, f"{kind}_unicl_lang_{version}").state_dict() for version in ("v0", "v1")
        )
        lines = [f"{name} {'x'.join(map(str, value.shape)) or 'scalar'}" for name, value in first.items()]
        assert [*first] == [*second] and all(first[name].shape == second[name].shape for name in first)
        (HERE / f"seem_{kind}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        found |= answers(small(clone, kind), kind)
    np.savez_compressed(HERE / "seem_official.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())

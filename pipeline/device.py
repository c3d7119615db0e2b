"""Where tensors are computed."""

from __future__ import annotations

import torch

from pipeline.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The device that `runtime.device` names; "auto" is the first GPU, or the CPU where there is none.

    Raises ConfigError for a name that torch does not know, or a GPU that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"runtime.device: {name!r} is no device; use auto, cpu, cuda or cuda:1") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"runtime.device: {name!r}, but torch finds {torch.cuda.device_count()} GPUs here; set it to auto"
        )
    return device

"""A linear autoencoder of image patches. It takes the place of Stable Diffusion's VAE for small, smooth
images."""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from torch import Tensor, nn

PATCH = 4


class PatchAutoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is not followed
    """Each patch of 4 x 4 pixels becomes one latent; a patch is decoded from its latent and the eight around
    it.

    Both maps are linear, and `fit` solves for them in closed form: principal components of the patches, then
    least squares. It serves as the `vae` of a diffusers pipeline.
    """

    @register_to_config  # type: ignore[untyped-decorator]  # diffusers is not followed
    def __init__(
        self,
        latent_channels: int = 6,
        scaling_factor: float = 1.0,
        block_out_channels: tuple[int, int, int] = (1, 1, 1),  # pipelines take the factor 4 from its length
    ) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, latent_channels, PATCH, stride=PATCH)
        self.decoder = nn.Conv2d(latent_channels, 3 * PATCH**2, 3, padding=1, padding_mode="replicate")

    def encode(self, x: Tensor) -> Tensor:  # [B, 3, H, W] in -1..1 -> [B, c, H/4, W/4]
        latent: Tensor = self.encoder(x)
        return latent

    def decode(
        self, z: Tensor, return_dict: bool = True, generator: object = None
    ) -> DecoderOutput | tuple[Tensor]:
        """[B, c, h, w] -> [B, 3, 4h, 4w], in the form of diffusers' autoencoders. Nothing is random here."""
        image = nn.functional.pixel_shuffle(self.decoder(z), PATCH)
        return DecoderOutput(sample=image) if return_dict else (image,)

    @torch.no_grad()
    def fit(self, images: Tensor) -> PatchAutoencoder:  # [n, 3, H, W] in -1..1
        """Solve for the weights. The latents of a component are divided by the root of its standard
        deviation, which is half of a whitening: detail counts less than colour. All are divided by what makes
        their mean variance one."""
        patches = nn.functional.unfold(images, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1)
        mean = patches.mean(0)
        variance, basis = torch.linalg.eigh(torch.cov(patches.T))
        channels = self.config.latent_channels
        variance, basis = variance[-channels:].flip(0), basis[:, -channels:].flip(1)
        scale = variance.pow(-0.25) / variance.sqrt().mean().sqrt()
        weight = (basis * scale).T  # [c, 48]
        self.encoder.weight.copy_(weight.view_as(self.encoder.weight))
        _bias(self.encoder).copy_(-weight @ mean)
        padded = nn.functional.pad(self.encode(images), (1, 1, 1, 1), mode="replicate")
        around = nn.functional.unfold(padded, 3).transpose(1, 2).flatten(0, 1)  # [n * h * w, c * 9]
        around = torch.cat([around, torch.ones(len(around), 1)], 1).double()
        # pixel_shuffle and unfold order the 48 numbers of a patch alike: colour, row, column
        ridge = 1e-6 * len(around) * torch.eye(around.shape[1], dtype=torch.float64)
        solution = torch.linalg.solve(around.T @ around + ridge, around.T @ patches.double()).float()
        self.decoder.weight.copy_(solution[:-1].T.view_as(self.decoder.weight))
        _bias(self.decoder).copy_(solution[-1])
        return self


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias

"""The settings that all distillations of fused features share."""

from __future__ import annotations

from dataclasses import dataclass

from anyscene.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """The keys of an entry of `training` whose kind is a distillation."""

    points_per_scene: int  # at most so many voxels of a scene enter the loss

    def __post_init__(self) -> None:
        if self.points_per_scene < 1:
            raise ConfigError(f"points_per_scene: {self.points_per_scene}; the loss takes at least 1")

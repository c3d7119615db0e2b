"""Training of sparse networks on fused features, and their features for every point of a scene."""

from pipeline.training.data import Cloud, device, read_cloud, training_scenes
from pipeline.training.loop import Recipe, Schedule, TrainingError, train, write_curve
from pipeline.training.prediction import predict_features

__all__ = [
    "Cloud",
    "Recipe",
    "Schedule",
    "TrainingError",
    "device",
    "predict_features",
    "read_cloud",
    "train",
    "training_scenes",
    "write_curve",
]

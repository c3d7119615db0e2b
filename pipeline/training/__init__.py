"""Training of sparse networks on fused features, and their features for every point of a scene."""

from pipeline.training.data import Cloud, device, read_cloud, read_training_clouds
from pipeline.training.loop import Recipe, Schedule, TrainingError, a_core_for_preparing, train, write_curve
from pipeline.training.prediction import predict_features

__all__ = [
    "Cloud",
    "Recipe",
    "Schedule",
    "TrainingError",
    "a_core_for_preparing",
    "device",
    "predict_features",
    "read_cloud",
    "read_training_clouds",
    "train",
    "write_curve",
]

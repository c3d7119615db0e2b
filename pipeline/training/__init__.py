"""Training of sparse networks on fused features, and their features for every point of a scene."""

from pipeline.training.checkpoint import Checkpoints
from pipeline.training.curve import Curve
from pipeline.training.data import Cloud, read_cloud, read_training_clouds
from pipeline.training.loop import Recipe, Schedule, train
from pipeline.training.prediction import predict_features
from pipeline.training.processes import Processes, joined
from pipeline.training.stage import fit, start_from

__all__ = [
    "Checkpoints",
    "Cloud",
    "Curve",
    "Processes",
    "Recipe",
    "Schedule",
    "fit",
    "joined",
    "predict_features",
    "read_cloud",
    "read_training_clouds",
    "start_from",
    "train",
]

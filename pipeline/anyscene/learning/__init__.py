"""Training of sparse networks on fused features, and their features for every point of a scene."""

from anyscene.learning.engine.checkpoint import Checkpoints
from anyscene.learning.engine.curve import Curve
from anyscene.learning.engine.loop import Recipe, Schedule, train
from anyscene.learning.engine.processes import Processes, joined
from anyscene.learning.engine.stage import fit, start_from
from anyscene.learning.prediction import predict_features
from anyscene.learning.views.data import Cloud, read_cloud, read_training_clouds

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

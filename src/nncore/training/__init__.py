"""How a model is trained."""

from nncore.training.lr_find import LearningRates
from nncore.training.path_sgd import PathSGD
from nncore.training.profiling import Profile
from nncore.training.trainer import Trainer

__all__ = ["LearningRates", "PathSGD", "Profile", "Trainer"]

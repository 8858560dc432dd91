"""Many networks, trained at once."""

from nncore._utils.each import Each
from nncore.ensemble.ensemble import Ensemble
from nncore.ensemble.history import EnsembleHistory
from nncore.ensemble.member import Member
from nncore.ensemble.snapshots import Snapshots
from nncore.ensemble.subsets import Bags, Folds, Subsets
from nncore.ensemble.trainer import EnsembleTrainer

__all__ = ["Bags", "Each", "Ensemble", "EnsembleHistory", "EnsembleTrainer", "Folds", "Member", "Snapshots", "Subsets"]

"""Many trainings with different parameters."""

from nncore.sweeps.fair import FairComparison, fair_comparison
from nncore.sweeps.halving import ASHA, SuccessiveHalving
from nncore.sweeps.run import Run
from nncore.sweeps.sweep import sweep
from nncore.sweeps.table import SweepTable

__all__ = ["ASHA", "FairComparison", "Run", "SuccessiveHalving", "SweepTable", "fair_comparison", "sweep"]

"""Callbacks: objects whose hooks are called at the events of a training."""

from nncore.callbacks.base import Callback, LambdaCallback
from nncore.callbacks.checkpoint import ModelCheckpoint
from nncore.callbacks.csv_log import CSVLogger
from nncore.callbacks.early_stopping import EarlyStopping
from nncore.callbacks.plateau import ReduceLROnPlateau

__all__ = ["CALLBACKS", "CSVLogger", "Callback", "EarlyStopping", "LambdaCallback", "ModelCheckpoint", "ReduceLROnPlateau"]

CALLBACKS: dict[str, type[Callback]] = {
    cls.__name__: cls for cls in (EarlyStopping, ReduceLROnPlateau, ModelCheckpoint, CSVLogger, LambdaCallback)
}

"""scikit-learn's own callbacks (since 1.9): a fit is a task, and every epoch a task in it."""

from __future__ import annotations

from typing import Any

from nncore.sklearn.epochs import OfOneFit

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: this scikit-learn has no callbacks."""

    def with_callbacks(method: Any) -> Any:
        """The method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "Tasks", "with_callbacks"]


class Tasks(OfOneFit):
    """Calls the hooks of the callbacks that the estimator's ``set_callbacks`` was given; a hook may end the training.

    Parameters
    ----------
    estimator : BaseMLP
    X, y, sample_weight : as the user has passed them to ``fit``
    """

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.estimator, self.arguments = estimator, {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.fit = estimator._init_callback_context(max_subtasks=estimator._max_epochs())
        self.fit.call_on_fit_task_begin(**self.arguments)
        self.epoch: Any = None  # the task that has begun

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        self.epoch = self.fit.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(**self.arguments)

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        if not self.estimator._is_scipys_report(trainer):
            trainer.stop_training |= self._end_epoch(**self.arguments, reconstruction_attributes=self._fitted)

    def on_train_end(self, trainer: Any) -> None:
        if self.epoch is not None:  # in which nothing was trained
            self._end_epoch(estimator=self.estimator)

    def _end_epoch(self, **arguments: Any) -> bool:
        task, self.epoch = self.epoch, None
        return bool(task.call_on_fit_task_end(**arguments))

    def _fitted(self) -> dict[str, Any]:
        """The attributes of an estimator as it is now, which the training will not change."""
        lists = {name: value.copy() for name, value in vars(self.estimator).items() if isinstance(value, list)}
        return {**lists, "model_": self.estimator.model_.copy()}

    def end(self) -> None:
        """At the end of ``fit``: the trainer keeps its callbacks, and this one lets go of the data."""
        self.fit.call_on_fit_task_end(**self.arguments, reconstruction_attributes={})
        del self.estimator, self.arguments, self.fit

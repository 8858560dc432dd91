"""Monitor of ill-conditioning: the terms of the second-order Taylor expansion of the loss, recorded during training."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore._kernels.blas import one_blas_thread
from nncore._utils.fields import Count, Field, Maybe, Number
from nncore._utils.figures import COLORS, Axes, Figure, SavePath, finish, one_axes
from nncore.callbacks.base import Callback
from nncore.history import History
from nncore.model.curvature.operators import HessianOperator

__all__ = ["ConditioningMonitor"]


class ConditioningMonitor(Callback):
    """Record the terms of l(θ − εg) ≈ l − ε gᵀg + ½ε² gᵀHg after each epoch, as columns of the history.

    With the trainer's ``lr_factors`` F the step is ε Fg, and the terms are −ε gᵀFg and ½ε² (Fg)ᵀHFg: arrays that are frozen do
    not count. Neither clipping nor the optimizer's own scaling of the gradient is in them.

    The slope term is the first-order decrease of a gradient step, the curvature term its second-order increase. If ½ε² gᵀHg
    exceeds ε gᵀg, the step increases the loss: the Hessian is ill-conditioned, and the learning rate must shrink even if the
    gradient is large. Source: Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.2.1.

    ================  ========================================
    column            of the loss with its penalty, at θ
    ================  ========================================
    taylor_loss       l(θ)
    taylor_slope      −ε gᵀg
    taylor_curvature  ½ε² gᵀHg
    ================  ========================================

    Parameters
    ----------
    X, y : array_like
        The examples over which l is averaged: the training data or a part of them.
    sample_weight : array_like (n,), optional
        Weights of these examples, as for ``Trainer.fit``, which does not tell the monitor its own: l is then Σ w_i l_i / n.
    lr : float, optional
        ε; by default the learning rate of the optimizer's next step.
    every : int
        Compute the terms every ``every`` epochs; the columns are NaN in between.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> X = np.random.default_rng(0).standard_normal((100, 2)) * [1, 10]
    >>> y = X @ [1.0, 1.0]
    >>> trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], input_shape=2, dtype="float64"), "squared_error", nn.SGD(lr=0.001))
    >>> history = trainer.fit(X, y, epochs=3, callbacks=[ConditioningMonitor(X, y)], verbose=0)
    >>> bool((history["taylor_slope"] < 0).all()), bool((history["taylor_curvature"] > 0).all())
    (True, True)
    """

    X: Field[Any, Any] = Field()
    y: Field[Any, Any] = Field()
    sample_weight: Field[Any, Any] = Field()
    lr: Maybe[float, float] = Maybe(Number(above=0))
    every: Count = Count()
    columns = ("taylor_loss", "taylor_slope", "taylor_curvature")

    def __init__(self, X: Any, y: Any, lr: float | None = None, every: int = 1, *, sample_weight: Any = None) -> None:
        self.X, self.y, self.lr, self.every, self.sample_weight = X, y, lr, every, sample_weight

    def _hessian(self, trainer: Any) -> HessianOperator:
        """That of the loss as it is now: a callback may have assigned another penalty. The model keeps the programs."""
        return HessianOperator(trainer.model, self.X, self.y, trainer.loss, trainer.regularizer, self.sample_weight)

    def on_train_begin(self, trainer: Any) -> None:
        self._hessian(trainer)
        if self.lr is None and "lr" not in trainer.optimizer.hyperparameters:
            raise ValueError(f"lr must be given: {type(trainer.optimizer).__name__} has no learning rate")

    @one_blas_thread()
    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        if epoch % self.every:
            return
        loss, gradient = trainer.model.loss_and_gradient(self.X, self.y, trainer.loss, sample_weight=self.sample_weight)
        g = gradient.astype(np.float64)
        if trainer.regularizer:
            loss += trainer.regularizer.value(trainer.model)
            g += trainer.regularizer.gradient(trainer.model)
        rate = self.lr
        if rate is None:
            rate = float(trainer.optimizer.hyper_values(1, trainer.optimizer.steps_per_epoch)["lr"][0])
        step = trainer.spec.groups.of_parameters("lr") * g
        curvature = float(step @ self._hessian(trainer).products(step))
        row.update(zip(self.columns, (loss, -rate * float(g @ step), 0.5 * rate**2 * curvature), strict=True))

    @staticmethod
    def plot(history: History, path: SavePath = None, ax: Axes | None = None) -> Figure:
        """Plot the terms of l − ε gᵀg + ½ε² gᵀHg against epochs; negative curvature terms are dotted."""
        figure, ax = one_axes("ConditioningMonitor.plot", path, ax)
        epochs = np.arange(1, len(history) + 1)
        slope, curvature = -history["taylor_slope"], history["taylor_curvature"]
        curves: list[tuple[str, Any, str]] = [("loss l", history["taylor_loss"], "-"), ("slope ε gᵀg", slope, "-")]
        curves.append(("curvature ½ε² gᵀHg", np.where(curvature > 0, curvature, np.nan), "-"))
        if (curvature < 0).any():
            curves.append(("curvature, negative", np.where(curvature < 0, -curvature, np.nan), ":"))
        for i, (label, values, line) in enumerate(curves):
            seen = np.isfinite(values)
            marker = "o" if seen.sum() <= 20 else ""
            ax.semilogy(epochs[seen], values[seen], line, color=COLORS[min(i, 2)], marker=marker, markersize=3, label=label)
        ax.set_xlabel("epochs trained")
        ax.set_ylabel("term of the expansion, absolute")
        ax.grid(alpha=0.3)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.2)
        return finish(figure, path)

"""Linear models trained by stochastic gradient descent, one example after the other: epochs of the ops of online.h."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from nncore._kernels import Program, all_finite, op_table, shuffled_orders
from nncore._utils.arrays import Array, for_kernels
from nncore.data.sparse import csr_arrays

__all__ = ["KINDS", "RULES", "Descent", "Examples", "Plan", "Weights"]

# As in layout.h: the numbers of losses, of the rules for a step, and of the rows of the state.
KINDS = (
    "hinge", "perceptron", "squared_hinge", "log_loss", "modified_huber", "squared_error", "huber", "epsilon_insensitive",
    "squared_epsilon_insensitive", "softmax",
)  # fmt: skip
RULES = ("scheduled", "pa1", "pa2")
STATE = (
    "bias", "scale", "factor", "positive", "negative", "shrunk", "square", "absolute", "objective", "kept", "divisor",
    "average_bias", "steps",
)  # fmt: skip
ROW = {name: row for row, name in enumerate(STATE)}
ONES = [ROW[name] for name in ("scale", "factor", "positive", "negative", "divisor")]
SIGNALS = 8
RATES = 9  # the number of this array among those of an op
CHUNK = 2_000_000  # numbers times outputs until the next question whether to stop
LEAST_OUTPUTS = 4  # that are worth a thread of their own
SMALLEST_RATE = 1e-6  # that "adaptive" goes below once


@dataclass
class Weights:
    """Weights (outputs, inputs) and biases (outputs,); their averages, if any, over the steps from ``average_from`` on."""

    coef: Array
    bias: Array
    average: Array | None = None
    average_bias: Array | None = None
    average_from: float = math.inf

    def copy(self) -> Weights:
        """With arrays of its own."""
        average, average_bias = (None if part is None else part.copy() for part in (self.average, self.average_bias))
        return Weights(self.coef.copy(), self.bias.copy(), average, average_bias, self.average_from)

    def settled_average(self, last: Array) -> tuple[Array, Array]:
        """The averages, of which each output has its own last step; the weights themselves if no step was averaged.

        An output that had converged before ``average_from`` has stayed where it was: its average is its weights.
        """
        assert self.average is not None
        assert self.average_bias is not None
        early = last < self.average_from
        if early.all():
            self.average_from = math.inf  # the next call begins the average
            return self.coef, self.bias
        self.average[early], self.average_bias[early] = self.coef[early], self.bias[early]
        return self.average, self.average_bias


@dataclass
class Examples:
    """Rows, their targets, and their weights. ``labels`` are the classes of the outputs; without them targets are numbers."""

    X: Any
    targets: Array
    weights: Array
    labels: Array | None = None

    def __post_init__(self) -> None:
        """Set ``arrays``: those of X, as an op takes them."""
        X = self.X
        self.arrays: tuple[Array, ...] = csr_arrays(X, X.dtype) if sparse.issparse(X) else (for_kernels(X),)


@dataclass
class Plan:
    """What is minimized, and how: α l2_share ‖w‖²/2 + α l1_share ‖w‖₁ + the mean of the losses.

    ``rates`` gives the learning rates of the next examples from the number of the first and how many they are; ``score`` the
    validation scores of the outputs from their weights and biases.
    """

    kind: str
    rule: str
    l2: float
    l1: float
    epsilon: float
    aggressiveness: float
    bias_factor: float
    average_from: float
    rates: Callable[[float, int], Array]
    shuffle_seed: int | None
    epochs: int
    tol: float | None
    patience: int
    adaptive_rate: float | None
    verbose: bool
    score: Callable[[Array, Array, Array], Array] | None = None


class Group:
    """Some of the outputs, with all arrays that a thread writes to while it trains them: stored by input."""

    def __init__(self, descent: Descent, outputs: Array) -> None:
        self.descent, self.outputs = descent, outputs
        self.W = np.ascontiguousarray(descent.weights.coef[outputs].T) + 0  # never −0, which a step of 0 would make 0
        self.average, self.penalty = (
            None if part is None else np.ascontiguousarray(part[outputs].T) for part in descent.stored[1:]
        )
        self.state = np.ascontiguousarray(descent.state[:, outputs])
        self.signals = np.empty((SIGNALS, len(outputs)), self.W.dtype)

    def op(self, number: int) -> tuple[Any, ...]:
        """Declared in op_table.h; the rates are bound for each epoch."""
        examples, plan = self.descent.examples, self.descent.plan
        labels = None if examples.labels is None else np.ascontiguousarray(examples.labels[self.outputs])
        data = examples.arrays
        own = (self.W, self.average, self.penalty, self.state, self.signals, None, labels)
        sizes = (len(self.outputs), len(self.W), KINDS.index(plan.kind), RULES.index(plan.rule))
        constants = (plan.l2, plan.l1, plan.epsilon, plan.aggressiveness, plan.bias_factor, float(plan.average_from))
        arrays = (*own, examples.targets, examples.weights, None, *data)
        return ("online_rows" if len(data) == 1 else "online_csr", arrays, sizes, constants, number, number + 1)

    def settle(self, number: int) -> tuple[Any, ...]:
        """The op after an epoch."""
        return ("online_settle", (self.W, self.average, self.state), self.W.shape[::-1], (), number, number + 1)

    def report(self) -> None:
        """The state to that of all outputs."""
        self.state[ROW["steps"]] = self.state[ROW["steps"], 0]
        self.descent.state[:, self.outputs] = self.state

    def store(self) -> None:
        """The weights to those of all outputs."""
        for all_outputs, own in zip(self.descent.stored, (self.W, self.average, self.penalty), strict=True):
            if own is not None and all_outputs is not None:
                all_outputs[self.outputs] = own.T

    def finite(self) -> bool:
        """Whether all that it has trained is finite."""
        return all(part is None or all_finite(part) for part in (self.state, self.W, self.average))


class Descent:
    """A training of linear models on the same examples, one for each output.

    An output that has converged is trained no more. Threads divide the outputs among them; the result does not depend on how.

    Parameters
    ----------
    examples : Examples
    weights : Weights
        Where the training starts; it changes these arrays.
    plan : Plan
    positive, negative : array (outputs,)
        Weights of the examples of an output's class, and of all others.
    steps : float
        The number of the first example.
    threads : int
    """

    def __init__(
        self, examples: Examples, weights: Weights, plan: Plan, positive: Array, negative: Array, steps: float, threads: int
    ) -> None:
        self.examples, self.weights, self.plan, self.threads = examples, weights, plan, threads
        penalty = np.zeros_like(weights.coef) if plan.l1 else None
        self.stored = (weights.coef, weights.average, penalty)
        self.state = np.zeros((len(STATE), len(weights.coef)))
        self.state[ONES] = 1
        self["bias"], self["positive"], self["negative"], self["steps"] = weights.bias, positive, negative, steps
        coef = weights.coef.astype(np.float64)  # whose squares may be beyond float32
        self["square"], self["absolute"] = np.square(coef).sum(axis=1), np.abs(coef).sum(axis=1)
        if weights.average_bias is not None:
            self["average_bias"] = weights.average_bias
        self.groups: list[Group] = []
        numbers = examples.arrays[0].size // len(examples.targets)
        self.work = max(1, numbers) * len(self.state.T) * (10 if plan.l1 else 1)  # of an example

    def __getitem__(self, name: str) -> Array:
        return self.state[ROW[name]]

    def __setitem__(self, name: str, values: Any) -> None:
        self.state[ROW[name]] = values

    def run(self, rows: Array) -> int:
        """Train on these rows of the examples until all outputs have converged; the number of epochs."""
        outputs = len(self.state.T)
        active = np.arange(outputs)
        best, waited = np.full(outputs, np.inf), np.zeros(outputs, dtype=int)
        for epoch in range(self.plan.epochs):
            if not self.groups or sum(len(group.outputs) for group in self.groups) > len(active):
                self._divide(active)
            if not self._epoch(rows, epoch):
                raise ValueError(
                    f"Floating-point under-/overflow occurred at epoch #{epoch + 1}. Scaling input data with StandardScaler or "
                    "MinMaxScaler might help."
                )
            cost = self._cost(len(rows))
            if self.plan.verbose:
                self._report(epoch, cost)
            if self.plan.tol is not None:
                waited = np.where(cost > best - self.plan.tol, waited + 1, 0)
            best = np.minimum(best, cost)
            active = self._still_active(active, waited)
            if not len(active):
                break
        self._store()
        return epoch + 1

    def _settle(self) -> None:
        """The weights of the groups in full, without a scale."""
        if self.groups:
            self.settle.run(examples=1, batch=1, threads=len(self.groups))
        for group in self.groups:
            group.report()

    def _store(self) -> None:
        self._settle()
        for group in self.groups:
            group.store()
        self.weights.bias[:] = self["bias"]
        if self.weights.average_bias is not None:
            self.weights.average_bias[:] = self["average_bias"]

    def _divide(self, active: Array) -> None:
        """Give each thread some of the outputs."""
        self._store()
        most = 1 if self.plan.kind == "softmax" else max(1, len(active) // LEAST_OUTPUTS)
        self.groups = [Group(self, part) for part in np.array_split(active, min(self.threads, most))]
        dtype, count = self.weights.coef.dtype, len(self.groups)
        ops = [[op(group, number) for number, group in enumerate(self.groups)] for op in (Group.op, Group.settle)]
        self.epoch, self.settle = (Program(op_table(), dtype, [("tiles", count, None, False, stage)]) for stage in ops)

    def _epoch(self, rows: Array, epoch: int) -> bool:
        """Train on all rows once; whether the results are finite."""
        plan, n = self.plan, len(rows)
        order = rows if plan.shuffle_seed is None else rows[shuffled_orders(n, 1, plan.shuffle_seed, epoch)[0]]
        rates = np.ascontiguousarray(plan.rates(self["steps"].max(), n), dtype=np.float64)
        batch = min(n, max(1, CHUNK // self.work))
        steps, threads = -(-n // batch), len(self.groups)
        for group in self.groups:
            group.state[ROW["objective"]] = 0
        bind = [(number, RATES, rates) for number in range(threads)]
        done, _ = self.epoch.run(
            bind, last_step=steps, examples=n, batch=batch, order=order, threads=threads, stoppable=True
        )  # fmt: skip
        for group in self.groups:
            group.report()
        return done == steps and all(group.finite() for group in self.groups)

    def _cost(self, n: int) -> Array:
        """What should fall, of each output: the mean objective, or the validation score with its sign changed."""
        if self.plan.score is not None:
            self._settle()
            scores = [self.plan.score(group.W, group.state[ROW["bias"]], group.outputs) for group in self.groups]
            cost = np.zeros(len(self.state.T))
            cost[np.concatenate([group.outputs for group in self.groups])] = -np.concatenate(scores)
            return cost
        means = self["objective"] / n
        return np.full_like(means, means.sum()) if self.plan.kind == "softmax" else means

    def _still_active(self, active: Array, waited: Array) -> Array:
        done = waited >= self.plan.patience
        if self.plan.adaptive_rate is not None:
            slower = done & (self.plan.adaptive_rate * self["factor"] > SMALLEST_RATE)
            self["factor"][slower] /= 5
            waited[slower] = 0
            done &= ~slower
            for group in self.groups:
                group.state[ROW["factor"]] = self["factor"][group.outputs]
        return active[~done[active]]

    def _report(self, epoch: int, cost: Array) -> None:
        size = float(np.sqrt(self["square"].sum()))
        name, sign = ("objective", 1) if self.plan.score is None else ("validation score", -1)
        print(f"-- Epoch {epoch + 1}: norm {size:.2f}, bias {self['bias'].mean():.6f}, {name} {sign * cost.mean():.6f}")

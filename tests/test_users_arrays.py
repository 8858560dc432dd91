"""A user's function may return the same array each time, with other numbers in it, and change the arrays that it gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import second_order
from nncore.samplers import Examples, Sampler
from nncore.schedules import Exponential, Schedule, Warmup

Array = NDArray[Any]

X = np.random.default_rng(0).normal(size=(20, 3))
Y = X[:, :1] - X[:, 1:2]


class Returns:
    """What a function returns: new arrays, or always the same one, as far as it is needed."""

    def __init__(self, same: bool) -> None:
        self.same = same
        self.kept: Array | None = None

    def __call__(self, values: Array) -> Array:
        if not self.same:
            return values.copy()
        if self.kept is None:
            self.kept = np.empty(10_000, values.dtype)
        array = self.kept[: values.size].reshape(values.shape)
        array[...] = values
        return array


def model(*layers: nn.Layer) -> nn.Sequential:
    return nn.Sequential([nn.Dense(4), nn.Tanh(), *layers, nn.Dense(1)], 3, dtype="float64", seed=0)


def parameters(trainer: Any, **fit: Any) -> Array:
    trainer.fit(X, Y, epochs=6, batch_size=4, verbose=0, **fit)
    members = trainer.model if isinstance(trainer.model, nn.Ensemble) else [trainer.model]
    return np.concatenate([member.parameters for member in members])


def order(returns: Returns) -> Array:
    class Own(Sampler):
        def order(self, examples: Examples, epoch: int) -> Array:
            return returns(np.random.default_rng(epoch).permutation(examples.count))

    return parameters(nn.Trainer(model(), "squared_error", "sgd"), sampler=Own())


def order_of_members(returns: Returns) -> Array:
    class Own(Sampler):
        def order(self, examples: Examples, epoch: int) -> Array:
            return returns(np.random.default_rng([epoch, examples.seed]).permutation(examples.count))

    return parameters(nn.Trainer(nn.Ensemble(model(), 3), "squared_error", "sgd"), sampler=Own())


def subsets(returns: Returns) -> Array:
    class Own(nn.Subsets):
        def rows(self, member: int, examples: int) -> Array:
            return returns(np.arange(5 * member, 5 * member + 8, dtype=np.int64))

    return parameters(nn.Trainer(nn.Ensemble(model(), 3), "squared_error", "sgd"), subsets=Own())


def folds(returns: Returns) -> Array:
    class Own:
        def split(self, X: Any, y: Any) -> Iterator[tuple[Array, Array]]:
            for fold in range(4):
                train = np.arange(20) % 4 != fold
                yield returns(np.flatnonzero(train)), np.flatnonzero(~train)

    def train(lr: float) -> nn.Trainer:
        return nn.Trainer(model(), "squared_error", nn.SGD(lr=lr))

    table = nn.sweep(train, {"lr": [0.1]}, X, Y, folds=Own(), epochs=2, threads=1, verbose=0)
    return table.column("val_loss")


def coefficients(returns: Returns, factor: float) -> Array:
    class Own(nn.SGD):
        @property
        def kernel(self) -> str:
            return "sgd"

        def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
            return returns(super().coefficients(steps, steps_per_epoch))

    factors = {"dense_1": factor, "dense_2.bias": 2.0}
    return parameters(nn.Trainer(model(), "squared_error", Own(Exponential(0.1, 0.99)), lr_factors=factors))


def schedules_of_layers(returns: Returns) -> Array:
    class Own(Schedule):
        def at(self, t: Array) -> Array:
            return returns(1 + 3 / (1 + t))

    own = Own()
    return parameters(nn.Trainer(model(nn.BatchRenorm(r_max=own, d_max=Warmup(own, 2))), "squared_error", "sgd"))


def hessian_products(returns: Returns) -> Array:
    H = np.array([[3.0, 1.0], [1.0, 2.0]])

    class Bowl:
        def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
            return 0.5 * theta @ H @ theta, returns(H @ theta)

        def hessian_product(self, theta: Array, v: Array) -> Array:
            return returns(H @ v)

    return second_order.DampedNewton(1.0).minimize(Bowl(), [1.0, -2.0], steps=3).theta


FUNCTIONS: dict[str, Any] = {
    "order": order, "order of members": order_of_members, "subsets": subsets, "folds": folds,
    "coefficients": lambda returns: coefficients(returns, 0.5),
    "coefficients of frozen arrays": lambda returns: coefficients(returns, 0.0),
    "schedules of layers": schedules_of_layers, "hessian products": hessian_products,
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_same_array_each_time(name: str) -> None:
    assert np.array_equal(FUNCTIONS[name](Returns(True)), FUNCTIONS[name](Returns(False)))


class Bowl:
    """½ θᵀHθ, all methods of which may write to their arguments."""

    H = np.array([[3.0, 1.0], [1.0, 2.0]])

    def __init__(self, spoils: bool) -> None:
        self.spoils = spoils

    def spoil(self, *arrays: Array) -> None:
        for array in arrays if self.spoils else ():
            array += 0.1

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        result = 0.5 * theta @ self.H @ theta, self.H @ theta
        self.spoil(theta)
        return result


class WithHessian(Bowl):
    def hessian(self, theta: Array) -> Array:
        self.spoil(theta)
        return self.H


class WithProducts(Bowl):
    def hessian_product(self, theta: Array, v: Array) -> Array:
        product = self.H @ v
        self.spoil(theta, v)
        return product


class WithGaussNewton(Bowl):
    def gauss_newton(self, theta: Array) -> Array:
        self.spoil(theta)
        return self.H


class WithJacobian(Bowl):
    def residuals_and_jacobian(self, theta: Array) -> tuple[Array, Array]:
        J = np.linalg.cholesky(self.H).T
        residuals = J @ theta
        self.spoil(theta)
        return residuals, J


@pytest.mark.parametrize(("f", "optimizer"), [
    (WithHessian, second_order.AdaptiveDampedNewton()), (WithProducts, second_order.TruncatedNewton()),
    (WithProducts, second_order.ScipyMinimize("trust-ncg")), (WithProducts, second_order.DampedNewton()),
    (WithGaussNewton, second_order.LevenbergMarquardt()), (WithJacobian, second_order.LevenbergMarquardt()),
])  # fmt: skip
def test_an_objective_that_writes_to_its_arguments(f: Any, optimizer: Any) -> None:
    spoilt, expected = (optimizer.minimize(f(spoils), [1.0, -2.0], 5).theta for spoils in (True, False))
    assert np.array_equal(spoilt, expected)


@pytest.mark.parametrize("method", ["order", "factors"])
@pytest.mark.parametrize("array", ["labels", "losses"])
@pytest.mark.parametrize("members", [0, 2])
def test_a_sampler_only_reads_what_training_goes_on_with(method: str, array: str, members: int) -> None:
    class Own(Sampler):
        uses_labels = uses_losses = reweights = True

        def order(self, examples: Examples, epoch: int) -> Array:
            if method == "order":
                getattr(examples, array).sort()
            return np.arange(examples.count)

        def factors(self, examples: Examples) -> Array:
            if method == "factors":
                getattr(examples, array).sort()
            return np.ones(examples.count)

    network = nn.Sequential([nn.Dense(2)], 3)
    trainer = nn.Trainer(nn.Ensemble(network, members) if members else network, "softmax_cross_entropy", "sgd")
    with pytest.raises(ValueError, match="read-only"):
        trainer.fit(X, (Y[:, 0] > 0).astype(int), verbose=0, sampler=Own())


@pytest.mark.parametrize("members", [0, 2])
def test_a_sampler_only_reads_the_rows_that_are_trained_on(members: int) -> None:
    class Own(nn.samplers.Shuffled):
        def take(self, chosen: Array, count: int) -> Sampler:
            chosen *= 2
            return self

    network = nn.Sequential([nn.Dense(1)], 3)
    trainer = nn.Trainer(nn.Ensemble(network, members) if members else network, "squared_error", "sgd")
    with pytest.raises(ValueError, match="read-only"):
        trainer.fit(X, Y, verbose=0, sampler=Own(), **({"subsets": nn.Bags()} if members else {"validation_split": 0.2}))

"""Bagging, seeds and dropout: three ways to average many networks (deck 1: bagging, voting, dropout).

A network that is too large for 200 noisy examples of two moons overfits. Averaging helps: networks from other initial weights
(seeds), networks on bootstrap samples (bags), and dropout, which trains networks that share their weights and needs no second
one. The picture shows the test error against the number of networks that vote, over 20 data sets: the mean and its 95 %
interval. The rate of dropout is chosen on held-out data, for each data set. A bag has only 63 % of the examples, so one bagged
network is worse than one trained on all; a few that vote are better.

Run with ``python examples/regularization/bagging.py [figure.png]`` where nncore[demo] is installed; it takes half a minute.
"""

from __future__ import annotations

import argparse

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import nncore as nn

MEMBERS, SETS, EPOCHS = 30, 20, 150
RATES = [0.1, 0.3, 0.5]
TEST = 4000
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#555555"


def moons(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two half circles that overlap by noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    angle = np.pi * rng.uniform(size=n)
    x = np.where(y == 0, np.cos(angle), 1 - np.cos(angle))
    z = np.where(y == 0, np.sin(angle), 0.5 - np.sin(angle))
    return (np.column_stack((x, z)) + 0.35 * rng.normal(size=(n, 2))).astype(np.float32), y


def network(*noise: nn.Layer, seed: int = 0) -> nn.Sequential:
    """Far too large; with two layers of noise, if given."""
    first, second = noise or ((), ())
    layers = [nn.Dense(64), nn.ReLU(), first, nn.Dense(64), nn.ReLU(), second, nn.Dense(2)]
    return nn.Sequential([layer for layer in layers if layer != ()], input_shape=2, seed=seed)


def trained(ensemble: nn.Ensemble, X: np.ndarray, y: np.ndarray, subsets: nn.Subsets | None = None) -> nn.Ensemble:
    trainer = nn.EnsembleTrainer(ensemble, "softmax_cross_entropy", nn.Adam(lr=0.01))
    trainer.fit(X, y, epochs=EPOCHS, batch_size=32, subsets=subsets, verbose=0)
    return ensemble


def errors_by_number(ensemble: nn.Ensemble, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The error of the first 1, 2, … members, voting with their mean probabilities."""
    means = np.cumsum(ensemble.member_probabilities(X), axis=0)
    return (means.argmax(axis=-1) != y).mean(axis=1)


def dropout_error(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, y_test: np.ndarray, seed: int) -> float:
    """Of one network, with the rate that is best on a quarter of the data, over five seeds each."""
    train, held_out = nn.data.train_validation_split(X, y, 0.25, seed=seed)
    rates = [rate for rate in RATES for _ in range(5)]
    tried = trained(
        nn.Ensemble(network(nn.Dropout(nn.Each(rates)), nn.Dropout(nn.Each(rates)), seed=seed), 15), X[train], y[train]
    )
    errors = (tried.member_probabilities(X[held_out]).argmax(axis=-1) != y[held_out]).mean(axis=1)
    rate = RATES[int(errors.reshape(len(RATES), 5).mean(axis=1).argmin())]
    (model,) = trained(nn.Ensemble(network(nn.Dropout(rate), nn.Dropout(rate), seed=seed), 1), X, y)
    return float((model.predict(X_test).argmax(axis=1) != y_test).mean())


def measure() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors (sets, members) with seeds and with bags, and of dropout (sets,)."""
    X_test, y_test = moons(TEST, 10_000)
    seeds, bags, dropout = [], [], []
    for number in range(SETS):
        X, y = moons(200, number)
        seeds.append(errors_by_number(trained(nn.Ensemble(network(seed=number), MEMBERS), X, y), X_test, y_test))
        bagged = trained(nn.Ensemble(network(seed=number), MEMBERS), X, y, nn.Bags(seed=number))
        bags.append(errors_by_number(bagged, X_test, y_test))
        dropout.append(dropout_error(X, y, X_test, y_test, number))
    return 100 * np.array(seeds), 100 * np.array(bags), 100 * np.array(dropout)


def interval(values: np.ndarray) -> np.ndarray:
    """Half the width of the 95 % interval of the mean."""
    return 2.09 * values.std(axis=0, ddof=1) / np.sqrt(len(values))


def draw(seeds: np.ndarray, bags: np.ndarray, dropout: np.ndarray, path: str) -> None:
    figure, ax = plt.subplots(figsize=(7, 4.4))
    number = np.arange(1, MEMBERS + 1)
    for values, color, name in ((seeds, BLUE, "other seeds"), (bags, ORANGE, "other bags (bagging)")):
        mean, width = values.mean(axis=0), interval(values)
        ax.fill_between(number, mean - width, mean + width, color=color, alpha=0.15, linewidth=0)
        ax.plot(number, mean, color=color, linewidth=2)
        ax.annotate(name, (MEMBERS, mean[-1]), (6, 0), textcoords="offset points", color=color, va="center")
    for value, color, name in ((seeds[:, 0].mean(), GRAY, "one network"), (dropout.mean(), GREEN, "one network with dropout")):
        ax.axhline(value, color=color, linewidth=1.5, linestyle="--")
        ax.annotate(name, (MEMBERS, value), (6, 0), textcoords="offset points", color=color, va="center")
    one = seeds[:, 0]
    gains = [(one - other).mean() for other in (bags[:, -1], dropout)]
    ax.set_title(f"A vote of {MEMBERS} bags gains {gains[0]:.1f} points, dropout in one network {gains[1]:.1f}", loc="left")
    ax.set_xlabel("networks")
    ax.set_ylabel("test error, %")
    ax.set_xlim(1, MEMBERS)
    ax.grid(alpha=0.3)
    figure.subplots_adjust(right=0.70)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", nargs="?", default="bagging.png")
    path = parser.parse_args().figure
    seeds, bags, dropout = measure()
    columns = {"one network": seeds[:, 0], f"{MEMBERS} seeds": seeds[:, -1], f"{MEMBERS} bags": bags[:, -1], "dropout": dropout}
    for name, values in columns.items():
        gain = seeds[:, 0] - values  # on the same data
        print(f"{name:12} {values.mean():.2f} % errors, gain {gain.mean():.2f} ± {interval(gain):.2f} points")
    draw(seeds, bags, dropout, path)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()

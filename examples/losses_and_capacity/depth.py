"""The effect of depth: the same number of hidden units in one wide layer or in many narrow ones.

Run with ``python examples/losses_and_capacity/depth.py [figure.png]`` where nncore[demo] is installed; it takes half a minute.

128 hidden units, as 1 layer of 128 up to 16 layers of 8, learn scikit-learn's digits. Each network uses the learning rate of a
list with the lowest median training loss; the plot shows median and quartiles over seeds. Equal unit count is not equal
parameter count: a narrow network has fewer weights, and its 8 units are a bottleneck for 10 classes; both contribute to the
results. The bottom row shows why training may fail: the size of δ = ∂l/∂z of the first layer before training, relative to the
last layer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

import nncore as nn

UNITS, DEPTHS = 128, [1, 2, 4, 8, 16]
RATES, SEEDS, EPOCHS, BATCH = [1e-3, 3e-3, 1e-2], 7, 30, 32
NETWORKS: dict[str, tuple[type[nn.Layer], str, str, str]] = {  # activation, initializer, color, mark
    "ReLU, He": (nn.ReLU, "he_normal", "#D55E00", "o"),
    "tanh, LeCun": (nn.Tanh, "lecun_normal", "#0072B2", "s"),
    "tanh, N(0, 0.1²)": (nn.Tanh, "small", "#56B4E9", "v"),
    "sigmoid, 4 × Glorot": (nn.Sigmoid, "sigmoid_uniform", "#009E73", "^"),
}

# Layers between a dense layer and its activation: one column of the figure for each.
NORMALIZATIONS: dict[str, Callable[[], list[nn.Layer]]] = {"no normalization": list}


def network(name: str, normalization: str, depth: int, seed: int) -> nn.Sequential:
    activation, init, _, _ = NETWORKS[name]
    weight_init = nn.initializers.Normal(0.1) if init == "small" else init
    layers: list[nn.Layer] = []
    for _ in range(depth):
        layers += [nn.Dense(UNITS // depth, weight_init=weight_init), *NORMALIZATIONS[normalization](), activation()]
    return nn.Sequential([*layers, nn.Dense(10, weight_init="lecun_normal")], input_shape=64, seed=seed)


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Digits, scaled by the training part's means and deviations; a quarter for the test."""
    X, y = nn.data.load_digits()
    train, test = nn.data.train_validation_split(X, y, 0.25, seed=0)
    scaler = nn.data.StandardScaler().fit(X[train])
    return scaler.transform(X[train]), y[train], scaler.transform(X[test]), y[test]


def gradient_ratio(model: nn.Sequential, X: np.ndarray, y: np.ndarray) -> float:
    """Ratio of the root mean squares of δ = ∂l/∂z in the first and the last layer."""
    deltas = model.deltas(X, y, "softmax_cross_entropy")
    first, last = (
        np.sqrt(np.mean(deltas[str(layer.name)] ** 2, dtype=np.float64)) for layer in model.layers[:: len(model.layers) - 1]
    )
    return float(first / last) if last else 0.0  # all units are dead


def study(name: str, normalization: str, depth: int, data: tuple[np.ndarray, ...]) -> np.ndarray:
    """Training loss, test errors (%) and gradient ratio (3, seeds), with the best learning rate."""
    X, y, X_test, y_test = data
    tried = []
    for lr in RATES:
        runs = []
        for seed in range(SEEDS):
            model = network(name, normalization, depth, seed)
            ratio = gradient_ratio(model, X, y)
            trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=lr), metrics=["accuracy"], seed=seed)
            trainer.fit(X, y, epochs=EPOCHS, batch_size=BATCH, verbose=0)
            errors = 100 * (1 - trainer.evaluate(X_test, y_test)["accuracy"])
            runs.append((trainer.evaluate(X, y)["loss"], errors, ratio))
        tried.append(np.array(runs).T)
    return min(tried, key=lambda run: np.median(run[0]))


def plot(found: dict[str, dict[str, np.ndarray]], path: str) -> None:
    """Plot loss, errors and gradient ratio against depth, one column per normalization."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        3, len(found), figsize=(1 + 6.5 * len(found), 10), layout="constrained", sharex=True, sharey="row", squeeze=False
    )  # fmt: skip
    for column, (normalization, networks) in enumerate(found.items()):
        for ax, quantity in zip(axes[:, column], range(3), strict=True):
            for name, values in networks.items():  # (depths, 3, seeds)
                low, middle, high = np.quantile(values[:, quantity], [0.25, 0.5, 0.75], axis=1)
                _, _, color, mark = NETWORKS[name]
                ax.fill_between(DEPTHS, low, high, color=color, alpha=0.15, linewidth=0)
                ax.plot(DEPTHS, middle, color=color, marker=mark, label=name)
            ax.grid(alpha=0.25)
        axes[0, column].set_title(normalization)
        axes[2, column].set(xscale="log", xlabel=f"hidden layers ({UNITS} units in all)")
        axes[2, column].set_xticks(DEPTHS, [f"{depth}\n× {UNITS // depth}" for depth in DEPTHS])
        axes[2, column].minorticks_off()
    axes[0, 0].set(yscale="log", ylabel="training loss")
    axes[1, 0].set(yscale="log", ylabel="test errors (%)", ylim=(1, 100))
    axes[1, 0].yaxis.set_major_formatter("{x:g}")
    axes[2, 0].set(yscale="log", ylim=(1e-10, 10), ylabel="δ of first layer / last,\nbefore training")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4 if len(found) > 1 else 2, frameon=False)
    figure.suptitle(f"{UNITS} hidden units in 1 to {DEPTHS[-1]} layers; median and quartiles of {SEEDS} seeds")
    figure.savefig(path, dpi=110)


def main(filename: str = "depth.png") -> None:
    data = load()
    found: dict[str, dict[str, np.ndarray]] = {}
    for normalization in NORMALIZATIONS:
        found[normalization] = {}
        for name in NETWORKS:
            values = np.array([study(name, normalization, depth, data) for depth in DEPTHS])
            found[normalization][name] = values
            errors = "  ".join(f"{error:5.1f}" for error in np.median(values[:, 1], axis=1))
            print(f"{normalization}, {name:<20} test errors at {DEPTHS} layers: {errors} %", flush=True)
    plot(found, filename)
    print(filename)


if __name__ == "__main__":
    main(*sys.argv[1:])

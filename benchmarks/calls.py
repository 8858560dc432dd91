"""What one call costs, beside the same call of other libraries: python -m benchmarks.calls

A network of 2-16-2, 32 rows, float32, Adam, one thread: at this size nearly all of a call is what comes around the arithmetic.
The steps by hand are on 1,000 parameters, and on 12 million beside the same update within the training of a wide layer.
Libraries that are not installed are left out.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

import nncore as nn
from benchmarks.timing import seconds_per_call

ROWS, FEW, MANY = 32, 1000, 12_000_000
Call = Callable[[], object]


def data() -> tuple[Any, Any]:
    """X (rows, 2) float32 and labels."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((ROWS, 2)).astype(np.float32), rng.integers(0, 2, ROWS)


def nncore_calls() -> dict[str, Call]:
    X, y = data()

    def trainer() -> nn.Trainer:
        model = nn.Sequential([nn.Dense(16), nn.ReLU(), nn.Dense(2)], input_shape=2, seed=0)
        return nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=1e-3))

    one = trainer()
    calls: dict[str, Call] = {
        "a step on new data": lambda: one.partial_fit(X, y),
        "fit of one batch": lambda: one.fit(X, y, epochs=1, batch_size=ROWS, verbose=0),
        "all new, and a first step": lambda: trainer().partial_fit(X, y),
        "prediction of one row": lambda: one.model.predict(X[:1]),
        "loss and gradient": lambda: one.model.loss_and_gradient(X, y, "softmax_cross_entropy"),
    }
    for name, optimizer in (("SGD", nn.SGD(lr=1e-3)), ("Adam", nn.Adam(lr=1e-3))):
        theta, grad = np.zeros(FEW, np.float32), np.ones(FEW, np.float32)
        calls[f"step by hand, {name}"] = lambda o=optimizer, t=theta, g=grad: o.step(t, g)  # type: ignore[misc]
    return calls


def torch_calls() -> dict[str, Call]:
    import torch

    torch.set_num_threads(1)
    X, y = (torch.from_numpy(array) for array in data())

    def made() -> tuple[Any, Any]:
        net = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
        return net, torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def step(net: Any, optimizer: Any) -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(X), y).backward()
        optimizer.step()

    net, optimizer = made()

    def gradient() -> None:
        net.zero_grad()
        torch.nn.functional.cross_entropy(net(X), y).backward()

    def predict() -> Any:
        with torch.inference_mode():
            return net(X[:1])

    calls: dict[str, Call] = {
        "a step on new data": lambda: step(net, optimizer), "all new, and a first step": lambda: step(*made()),
        "prediction of one row": predict, "loss and gradient": gradient,
    }  # fmt: skip
    for name, kind in (("SGD", torch.optim.SGD), ("Adam", torch.optim.Adam)):
        theta = torch.zeros(FEW, requires_grad=True)
        theta.grad = torch.ones(FEW)
        calls[f"step by hand, {name}"] = kind([theta], lr=1e-3, fused=True).step
    return calls


def sklearn_calls() -> dict[str, Call]:
    from sklearn.neural_network import MLPClassifier

    X, y = data()

    def made() -> Any:
        return MLPClassifier((16,), alpha=0, batch_size=ROWS, random_state=0, max_iter=1).partial_fit(X, y, classes=[0, 1])

    one = made()
    return {
        "a step on new data": lambda: one.partial_fit(X, y), "all new, and a first step": made,
        "prediction of one row": lambda: one.predict(X[:1]),
    }  # fmt: skip


LIBRARIES = {"nncore": nncore_calls, "PyTorch": torch_calls, "scikit-learn": sklearn_calls}


def many_parameters(rounds: int) -> list[tuple[str, float, float]]:
    """Nanoseconds per parameter of an update of 12 million: by hand, and as an op of a training step (`Trainer.profile`)."""
    found = []
    width = int(MANY**0.5)
    X, y = np.ones((1, width), np.float32), np.ones((1, width), np.float32)
    for optimizer in (nn.SGD(lr=1e-6), nn.Adam(lr=1e-6)):
        model = nn.Sequential([nn.Dense(width, bias=False)], input_shape=width, seed=0)
        trainer = nn.Trainer(model, "squared_error", type(optimizer)(lr=1e-6))
        update = f"{optimizer.kernel}_update"
        inside = [op.seconds for _ in range(rounds) for op in trainer.profile(X, y, steps=5).ops if op.name == update]
        theta, grad = np.zeros(width * width, np.float32), np.ones(width * width, np.float32)
        by_hand = seconds_per_call(lambda o=optimizer, t=theta, g=grad: o.step(t, g), 1.0)  # type: ignore[misc]
        found.append((type(optimizer).__name__, 1e9 * by_hand / theta.size, 1e9 * statistics.median(inside) / theta.size))
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--few", action="store_true", help="leave out the steps on 12 million parameters")
    options = parser.parse_args(arguments)
    threads = nn.get_num_threads()
    nn.set_num_threads(1)
    calls = {}
    for library, make in LIBRARIES.items():
        try:
            calls[library] = make()
        except ImportError:
            continue
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):  # in turn, so that a slower moment of the machine meets all
        for library, own in calls.items():
            for name, call in own.items():
                times.setdefault((library, name), []).append(1e6 * seconds_per_call(call, 0.05, 3))
    print(f"{'µs per call':<28}" + "".join(f"{library:>14}" for library in calls))
    for name in calls["nncore"]:
        cells = [
            f"{statistics.median(times[library, name]):14.1f}" if (library, name) in times else f"{'':14}" for library in calls
        ]
        print(f"{name:<28}" + "".join(cells))
    if not options.few:
        print(f"\n{'ns per parameter of 12 M':<28}{'by hand':>14}{'in training':>14}")
        for name, by_hand, inside in many_parameters(options.rounds):
            print(f"{name:<28}{by_hand:14.3f}{inside:14.3f}")
    nn.set_num_threads(threads)


if __name__ == "__main__":
    main()

"""Many small trainings: an `Ensemble` beside a loop over trainers, a vmap of JAX, and bagging with scikit-learn.

    python -m benchmarks.ensembles [--rounds 5] [--members 1000]

Three tables. Networks of 2-16-2 and of 64-64-10, batches of 32, Adam, each with its own initial weights and its own order of
the examples: microseconds for each step of each network, everything new for each (initialization, compilation and all that a
call of ``fit`` does); for JAX the steps alone, after compilation. Fifty bagged networks on scikit-learn's digits: seconds. The
best of several rounds, in which all take turns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import nncore as nn
from benchmarks import machine, table

EPOCHS, BATCH = 20, 32
CASES = {"2-16-2": (2, 16, 2, 2048), "64-64-10": (64, 64, 10, 2048)}  # inputs, units, outputs, rows
DIGITS_EPOCHS = 20


def data(inputs: int, outputs: int, rows: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, inputs)).astype(np.float32)
    return X, rng.integers(0, outputs, rows)


def model(inputs: int, units: int, outputs: int) -> nn.Sequential:
    return nn.Sequential([nn.Dense(units), nn.ReLU(), nn.Dense(outputs)], input_shape=inputs)


def ensemble(case: str, members: int, threads: int, lr: Any = 0.001) -> float:
    """Seconds of a training of all members, with all that comes before it."""
    inputs, units, outputs, rows = CASES[case]
    X, y = data(inputs, outputs, rows)
    nn.set_num_threads(threads)
    start = time.perf_counter()
    trainer = nn.Trainer(nn.Ensemble(model(inputs, units, outputs), members), "softmax_cross_entropy", nn.Adam(lr))
    trainer.fit(X, y, epochs=EPOCHS, batch_size=BATCH, verbose=0)
    return time.perf_counter() - start


def loop(case: str, members: int) -> float:
    """Seconds of one training after the other, on one thread."""
    inputs, units, outputs, rows = CASES[case]
    X, y = data(inputs, outputs, rows)
    nn.set_num_threads(1)
    start = time.perf_counter()
    for seed in range(members):
        own = nn.Sequential([nn.Dense(units), nn.ReLU(), nn.Dense(outputs)], input_shape=inputs, seed=seed)
        nn.Trainer(own, "softmax_cross_entropy", nn.Adam(), seed=seed).fit(X, y, epochs=EPOCHS, batch_size=BATCH, verbose=0)
    return time.perf_counter() - start


def jax_step(case: str, members: int) -> float:
    """Seconds for each step of each network with a vmap over the networks of a jitted epoch; orders by NumPy or by JAX."""
    import jax
    import jax.numpy as jnp

    from benchmarks.rivals import jax as rival

    inputs, units, outputs, rows = CASES[case]
    X, y = map(jnp.asarray, data(inputs, outputs, rows))
    key = jax.random.key(0)

    def layers(key: Any) -> Any:
        first, second = jax.random.split(key)
        W, V = jax.random.normal(first, (inputs, units)), jax.random.normal(second, (units, outputs))
        return [(W * (2 / inputs) ** 0.5, jnp.zeros(units)), (V * (2 / units) ** 0.5, jnp.zeros(outputs))]

    theta = jax.vmap(layers)(jax.random.split(key, members))
    zeros = jax.tree.map(jnp.zeros_like, theta)
    state = theta, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(members)
    epoch = jax.jit(jax.vmap(lambda state, order: rival._epoch.__wrapped__(state, X, y, order, BATCH)), donate_argnums=0)
    keys, rng = jax.random.split(jax.random.key(1), members), np.random.default_rng(1)
    rising = np.tile(np.arange(rows), (members, 1))
    best = np.inf
    for orders in (lambda: keys, lambda: rng.permuted(rising, axis=1)):
        for _ in range(4):  # the first one compiles
            start = time.perf_counter()
            state = jax.block_until_ready(epoch(state, orders()))
            best = min(best, time.perf_counter() - start)
    return best / members / (rows // BATCH)


def jax_in_process(case: str, members: int) -> float | None:
    code = f"from benchmarks.ensembles import jax_step; print(jax_step({case!r}, {members}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        print(f"{case}: JAX: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return float(done.stdout)


def digits() -> dict[str, Callable[[], float]]:
    """Fifty bagged networks of 64-64-10 on the digits, seconds of each way."""
    from sklearn.datasets import load_digits
    from sklearn.ensemble import BaggingClassifier
    from sklearn.neural_network import MLPClassifier

    X, y = load_digits(return_X_y=True)
    X, y = (X[:1792] / 16).astype(np.float32), y[:1792]  # whole batches: one of zero weights is an error in scikit-learn 1.9

    def own(threads: int) -> float:
        nn.set_num_threads(threads)
        start = time.perf_counter()
        trainer = nn.Trainer(nn.Ensemble(model(64, 64, 10), 50), "softmax_cross_entropy", nn.Adam())
        trainer.fit(X, y, epochs=DIGITS_EPOCHS, batch_size=BATCH, subsets=nn.Bags(), verbose=0)
        return time.perf_counter() - start

    def bagging() -> float:
        net = MLPClassifier(64, batch_size=BATCH, max_iter=DIGITS_EPOCHS, tol=0, n_iter_no_change=DIGITS_EPOCHS)
        start = time.perf_counter()
        with warnings.catch_warnings():  # that the optimization has not converged
            warnings.simplefilter("ignore")
            BaggingClassifier(net, n_estimators=50, n_jobs=2, random_state=0).fit(X, y)
        return time.perf_counter() - start

    return {"1 thread": lambda: own(1), "2 threads": lambda: own(2), "BaggingClassifier, n_jobs=2": bagging}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--only", default="tiny,digits,jax")
    given = parser.parse_args()
    about, only = machine.describe(), given.only.split(",")
    print(machine.text(about), end="\n\n")
    results: dict[str, Any] = {}
    for case, members in (("2-16-2", given.members), ("64-64-10", given.members // 20)) if "tiny" in only else ():
        steps = members * EPOCHS * CASES[case][3] / BATCH
        best: dict[str, float] = {}
        for _ in range(given.rounds):
            for threads in (1, 2):
                for name, lr in (("Ensemble", 0.001), ("Ensemble, own rates", nn.Each(np.linspace(1e-3, 2e-3, members)))):
                    seconds = ensemble(case, members, threads, lr)
                    best[f"{name}, {threads}"] = min(best.get(f"{name}, {threads}", np.inf), seconds)
            best["loop, 1"] = min(best.get("loop, 1", np.inf), loop(case, members // 10) * 10)
        rows = {name: (seconds, 1e6 * seconds / steps) for name, seconds in best.items()}
        known = [jax_in_process(case, count) for count in (16, 128)] if "jax" in only else []
        if (step := min((step for step in known if step is not None), default=None)) is not None:
            rows["vmap of JAX, steps alone"] = step * steps, 1e6 * step
        results[case] = rows
        lines = [(name, f"{seconds:.2f}", f"{each:.2f}") for name, (seconds, each) in rows.items()]
        print(table.render((f"{members} × {case}; threads", "seconds", "µs a step"), lines), end="\n\n")
    if "digits" in only:
        ways = digits()
        best = dict.fromkeys(ways, np.inf)
        for _ in range(given.rounds):
            for name, way in ways.items():
                best[name] = min(best[name], way())
        results["digits"] = best
        lines = [(name, f"{seconds:.2f}", f"{seconds / best['2 threads']:.2f}") for name, seconds in best.items()]
        print(table.render(("50 bagged 64-64-10 on digits", "seconds", "×"), lines))
    print("\nSaved to", table.save("ensembles", {"machine": about, "results": results}))


if __name__ == "__main__":
    main()

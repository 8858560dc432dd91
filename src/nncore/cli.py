"""The command line: ``nncore compare`` races optimizers on digits or on a landscape."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import nncore as nn
from nncore import landscapes
from nncore._messages import shown
from nncore.optimizers import OPTIMIZERS, Optimizer

__all__ = ["main"]

DEFAULT = ("sgd", "momentum", "adagrad", "rmsprop", "adam")
LOW, HIGH = 1e-4, 10.0  # learning rates
BUDGET = 8  # learning rates tried for each optimizer
SHARE = 0.25  # of the digits that are held back
BATCH = 32

Factory = Callable[[float], Optimizer]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status, 1 if nobody reads the output to its end, as with ``| head -1``.

    What the encoding of the output does not have is shown as "?".
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            return _run(arguments)
        finally:  # here, where it can be handled, and not when Python ends
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return 1


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.command is None:
        parser.print_help()
        return 0
    try:
        result = _compare(asked)
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(f"nncore compare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("nncore compare: interrupted", file=sys.stderr)
        return 130
    print(result)
    if asked.out:
        print(f"picture: {asked.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nncore", description="nncore: training networks, and studying how training works.")
    parser.add_argument("--version", action="version", version=f"nncore {nn.__version__}")
    commands = parser.add_subparsers(dest="command")
    compare = commands.add_parser(
        "compare", help="compare optimizers, each with a learning rate found by a search of the same cost",
        description="Compare optimizers on handwritten digits or on a landscape. Each gets the best learning rate of a search "
        "of the same cost; then they run from other starts. Prints a table, the best first: on digits by the final loss on "
        "held-out digits, on a landscape by the number of steps to a millionth of the loss at the start.",
    )  # fmt: skip
    compare.add_argument("problem", choices=("digits", *landscapes.LANDSCAPES), help="what to minimize", metavar="problem")
    compare.add_argument("--optimizers", nargs="+", default=list(DEFAULT), metavar="NAME", help=", ".join(OPTIMIZERS))
    compare.add_argument("--epochs", type=int, default=None, help="digits: passes over the training data (default 10)")
    compare.add_argument("--steps", type=int, default=None, help="landscapes: steps of every run (default 200)")
    compare.add_argument("--budget", type=int, default=None, help=f"learning rates to try (default {BUDGET}; landscapes 16)")
    compare.add_argument("--starts", type=int, default=None, help="runs of each (default 3; landscapes 15)")
    compare.add_argument("--seed", type=int, default=0, help="of starts and shuffling (default 0)")
    compare.add_argument("--out", default=None, metavar="PICTURE", help="draw the losses; the suffix says the format")
    compare.add_argument("--quiet", action="store_true", help="no progress line on a terminal")
    comparable = (name for name, landscape in landscapes.LANDSCAPES.items() if landscape.lowest is not None)
    compare.epilog = f"problems: digits, {', '.join(comparable)}"
    return parser


def _compare(asked: argparse.Namespace) -> landscapes.Comparison:
    unsuitable, other = ("steps", "epochs") if asked.problem == "digits" else ("epochs", "steps")
    if getattr(asked, unsuitable) is not None:
        raise ValueError(f"--{unsuitable}: {asked.problem} takes --{other}")
    for option, least in (("epochs", 1), ("steps", 1), ("budget", 4), ("starts", 1), ("seed", 0)):
        value = getattr(asked, option)
        if value is not None and value < least:
            raise ValueError(f"--{option}: expected at least {least}, got {value}")
    factories = {name: _factory(name) for name in asked.optimizers}
    if asked.out:
        from nncore._utils.figures import new_figure

        figure = new_figure("--out", (1, 1), asked.out)  # is matplotlib there? before the work, not after
        suffixes, path = figure.canvas.get_supported_filetypes(), Path(asked.out)
        if not path.parent.is_dir() or path.suffix[1:].lower() not in suffixes:
            raise ValueError(
                f"--out: expected a file {', '.join(f'.{s}' for s in suffixes)} in a folder there is, got {asked.out}"
            )
    race = _race_digits if asked.problem == "digits" else _race_landscape
    result = race(factories, asked)
    if asked.out:
        result.plot(asked.out)
    return result


def _factory(name: str) -> Factory:
    if name not in OPTIMIZERS:
        raise ValueError(f"--optimizers: expected some of {', '.join(OPTIMIZERS)}, got {shown(name)}")
    kind = OPTIMIZERS[name]
    if kind.full_batch_only:
        return lambda lr: kind(lr=lr, allow_mini_batches=True)  # type: ignore[call-arg]
    return lambda lr: kind(lr=lr)  # type: ignore[call-arg]


def _race_landscape(factories: Mapping[str, Factory], asked: argparse.Namespace) -> landscapes.Comparison:
    """`landscapes.compare`, an optimizer at a time, so that progress can be seen: all see the same starts."""
    f: landscapes.Landscape = landscapes.LANDSCAPES[asked.problem]()  # type: ignore[call-arg]
    steps, budget, starts = asked.steps or 200, asked.budget or 16, asked.starts or 15
    parts = []
    with _progress(len(factories), asked.quiet) as bar:
        for name, factory in factories.items():
            bar.set_description(name)
            parts.append(landscapes.compare({name: factory}, f, steps, budget, starts, seed=asked.seed, low=LOW, high=HIGH))
            bar.update()
    return _joined(parts)


def _progress(total: int, quiet: bool) -> Any:
    """A progress line, on a terminal only."""
    return tqdm(total=total, disable=True if quiet or sys.stderr is None else None, leave=False)


def _joined(parts: Sequence[landscapes.Comparison]) -> landscapes.Comparison:
    """The comparisons of one optimizer each as one of all."""

    def merged(field: str) -> dict[str, Any]:
        return {name: value for part in parts for name, value in getattr(part, field).items()}

    first = parts[0]
    lr, losses, searches = merged("lr"), merged("losses"), merged("searches")
    return landscapes.Comparison(lr, losses, searches, first.quantiles, first.title, goal=first.goal)


def _race_digits(factories: Mapping[str, Factory], asked: argparse.Namespace) -> landscapes.Comparison:
    """A 64-64-10 network on scikit-learn's digits: the loss on what is held back, after every epoch.

    The search sees one start (seed), the race others (seed + 1, …).
    """
    X, y = nn.data.load_digits()
    train, held_back = nn.data.train_validation_split(X, y, SHARE, seed=asked.seed)
    epochs, budget, starts = asked.epochs or 10, asked.budget or BUDGET, asked.starts or 3

    def losses(factory: Factory, lr: float, seed: int) -> np.ndarray:
        model = nn.Sequential([nn.Dense(64), nn.ReLU(), nn.Dense(10)], input_shape=64, seed=seed)
        trainer = nn.Trainer(model, "softmax_cross_entropy", factory(lr), seed=seed)
        result = np.full(epochs + 1, np.inf)
        result[0] = trainer.evaluate(X[held_back], y[held_back])["loss"]
        held = (X[held_back], y[held_back])
        with contextlib.suppress(nn.DivergenceError):
            trainer.fit(X[train], y[train], epochs=epochs, batch_size=BATCH, validation_data=held, verbose=0)
        reached = trainer.history["val_loss"] if "val_loss" in trainer.history else np.zeros(0)
        result[1 : 1 + len(reached)] = np.where(np.isfinite(reached), reached, np.inf)
        return result

    rates = np.geomspace(LOW, HIGH, budget)
    searches, found = {}, {}
    with _progress(len(factories) * (budget + starts), asked.quiet) as bar:
        for name, factory in factories.items():
            bar.set_description(name)
            scores = np.empty(budget)
            for i, lr in enumerate(rates):
                scores[i] = losses(factory, lr, asked.seed)[-1]
                bar.update()
            best = float(rates[np.argmin(scores)])
            searches[name] = landscapes.Search(best, rates, scores)
            found[name] = np.array([losses(factory, best, asked.seed + 1 + start) for start in range(starts)])
            bar.update(starts)
    lr = {name: search.lr for name, search in searches.items()}
    return landscapes.Comparison(lr, found, searches, (0.1, 0.9), "Digits", "epoch", "loss on held-out digits")

"""The command line: ``nncore compare`` compares optimizers on digits or on a landscape, ``nncore play`` is the playground."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

import nncore as nn
from nncore import landscapes
from nncore._messages import shown
from nncore._utils.fields import count
from nncore.config import overlap
from nncore.landscapes.compare import compare_runs, results
from nncore.optimizers import OPTIMIZERS, Optimizer
from nncore.playground import cli as play

__all__ = ["main"]

DEFAULT = ("sgd", "momentum", "adagrad", "rmsprop", "adam")
LOW, HIGH = 1e-4, 10.0  # learning rates
BUDGET = 8  # learning rates tried for each optimizer
SHARE = 0.25  # of the digits that are held out
BATCH = 32
MOST = 1 << 31  # steps, epochs and so on

Factory = Callable[[float], Optimizer]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status, 1 if the output is closed before its end, as with ``| head -1``, 2 if it is full.

    Characters that the encoding of the output lacks are shown as "?".
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
    except OSError as error:
        closed = isinstance(error, BrokenPipeError)
        if not closed:
            print(f"nncore: the output cannot be written: {error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return 1 if closed else 2


def _run(arguments: Sequence[str] | None) -> int:
    if not hasattr(nn, "show_config"):  # another project's package of this name
        raise SystemExit(overlap().strip())
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    lines: list[str] = []
    status = _collect(options, lines)
    for line in lines:
        print(line)
    return status


def _collect(options: argparse.Namespace, lines: list[str]) -> int:
    """The lines of a command, those before an error too; returns the exit status."""
    try:
        lines.extend(options.run(options))
    except BrokenPipeError:
        raise
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(f"nncore {options.command}: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(
            f"nncore {options.command}: the runs must fit into memory ({error}): fewer steps, epochs or starts", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        print(f"nncore {options.command}: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nncore", description="nncore: training networks, and studying how training works.")
    parser.add_argument("--version", action="version", version=f"nncore {nn.__version__}")
    commands = parser.add_subparsers(dest="command")
    compare = commands.add_parser(
        "compare", help="compare optimizers, each with a learning rate found by a search with the same budget",
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
    compare.add_argument("--out", default=None, metavar="FILE", help="draw the losses; the suffix determines the format")
    compare.add_argument("--quiet", action="store_true", help="no progress line on a terminal")
    comparable = (name for name, landscape in landscapes.LANDSCAPES.items() if landscape.lowest is not None)
    compare.epilog = f"problems: digits, {', '.join(comparable)}"
    compare.set_defaults(run=_compare)
    play.add_parser(commands)
    return parser


def _compare(options: argparse.Namespace) -> Iterator[str]:
    """What is printed: the table, and then the plot's place once it is there."""
    result = _compared(options)
    yield str(result)
    if options.out is not None:
        result.plot(options.out)
        yield f"plot: {options.out}"


def _compared(options: argparse.Namespace) -> landscapes.Comparison:
    unsuitable, other = ("steps", "epochs") if options.problem == "digits" else ("epochs", "steps")
    if getattr(options, unsuitable) is not None:
        raise ValueError(f"--{unsuitable} must be left out, {options.problem} takes --{other}")
    for option, minimum in (("epochs", 1), ("steps", 1), ("budget", 4), ("starts", 1), ("seed", 0)):
        if (value := getattr(options, option)) is not None:
            too_large = option != "seed" and value >= MOST
            count(f"--{option}", value, minimum, below=MOST if too_large else None)
    factories = {name: _factory(name) for name in options.optimizers}
    if options.out is not None:
        from nncore._utils.figures import new_figure

        figure = new_figure("--out", (1, 1), options.out)  # raises without matplotlib, before the runs and not after
        suffixes, path = figure.canvas.get_supported_filetypes(), Path(options.out)
        if not path.parent.is_dir() or path.suffix[1:].lower() not in suffixes:
            raise ValueError(
                f"--out must be a file {', '.join(f'.{s}' for s in suffixes)} in an existing folder, got {shown(options.out)}"
            )
    run = _compare_digits if options.problem == "digits" else _compare_landscape
    return run(factories, options)


def _factory(name: str) -> Factory:
    if name not in OPTIMIZERS:
        raise ValueError(f"--optimizers must be some of {', '.join(OPTIMIZERS)}, got {shown(name)}")
    kind = OPTIMIZERS[name]
    if kind.full_batch_only:
        return lambda lr: kind(lr=lr, allow_mini_batches=True)  # type: ignore[call-arg]
    return lambda lr: kind(lr=lr)  # type: ignore[call-arg]


def _compare_landscape(factories: Mapping[str, Factory], options: argparse.Namespace) -> landscapes.Comparison:
    f: landscapes.Landscape = landscapes.LANDSCAPES[options.problem]()  # type: ignore[call-arg]
    steps, budget, starts = options.steps or 200, options.budget or 16, options.starts or 15
    with _progress(factories, (budget + 1) * starts, options.quiet) as counted:
        return landscapes.compare(counted, f, steps, budget, starts, seed=options.seed, low=LOW, high=HIGH)


def _compare_digits(factories: Mapping[str, Factory], options: argparse.Namespace) -> landscapes.Comparison:
    """A 64-64-10 network on scikit-learn's digits: the loss on held-out digits, after every epoch.

    The search uses one start (seed), the comparison others (seed + 1, …).
    """
    epochs, budget, starts = options.epochs or 10, options.budget or BUDGET, options.starts or 3
    count("--seed", options.seed, 0, below=2**64 - starts)
    X, y = nn.data.load_digits()
    train, validation = nn.data.train_validation_split(X, y, SHARE, seed=options.seed)
    held_out = X[validation], y[validation]
    rates = np.geomspace(LOW, HIGH, budget)

    def run(factory: Factory, lr: float, seed: int) -> np.ndarray:
        model = nn.Sequential([nn.Dense(64), nn.ReLU(), nn.Dense(10)], input_shape=64, seed=seed)
        trainer = nn.Trainer(model, "softmax_cross_entropy", factory(lr), seed=seed)
        result = np.full(epochs + 1, np.inf)
        result[0] = trainer.evaluate(*held_out)["loss"]
        with contextlib.suppress(nn.DivergenceError):
            trainer.fit(X[train], y[train], epochs=epochs, batch_size=BATCH, validation_data=held_out, verbose=0)
        reached = trainer.history["val_loss"] if "val_loss" in trainer.history else np.zeros(0)
        result[1 : 1 + len(reached)] = np.where(np.isfinite(reached), reached, np.inf)
        return result

    def all_runs(factory: Factory, rates: Sequence[float], seeds: Sequence[int]) -> np.ndarray:
        found: dict[tuple[float, int], np.ndarray] = {}

        def one(lr: float, seed: int) -> dict[str, float]:
            found[lr, seed] = run(factory, lr, seed)
            return {"loss": found[lr, seed][-1]}

        results(nn.sweep(one, {"lr": list(rates)}, seeds=seeds, verbose=0), "loss", len(rates) * len(seeds))
        return np.array([found[lr, seed] for lr in rates for seed in seeds])

    def search(factory: Factory) -> landscapes.Search:
        scores = all_runs(factory, rates.tolist(), [options.seed])[:, -1]
        return landscapes.Search(float(rates[np.argmin(scores)]), rates, scores)

    def losses(factory: Factory, lr: float) -> np.ndarray:
        return all_runs(factory, [lr], range(options.seed + 1, options.seed + 1 + starts))

    description = {"quantiles": (0.1, 0.9), "title": "Digits", "unit": "epoch", "measure": "loss on held-out digits"}
    with _progress(factories, budget + starts, options.quiet) as counted:
        return compare_runs(counted, search, losses, **description)


@contextlib.contextmanager
def _progress(factories: Mapping[str, Factory], runs: int, quiet: bool) -> Iterator[dict[str, Factory]]:
    """The same factories, with a progress line, on a terminal only: each optimizer that they make is a run."""
    total, disable = runs * len(factories), True if quiet or sys.stderr is None else None
    with tqdm(total=total, disable=disable, leave=False) as bar:

        def counted(name: str, factory: Factory) -> Factory:
            def make(lr: float) -> Optimizer:
                bar.set_description(name)
                bar.update()
                return factory(lr)

            return make

        yield {name: counted(name, factory) for name, factory in factories.items()}

"""The training-step table: nncore and other libraries, each in a separate process.

python -m benchmarks.training [--nets 64-64-10,784-256-128-10] [--rivals nncore,numpy] [--dtype float64] [--check]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterable
from typing import Any

from benchmarks import instructions, limits, machine, nets, table
from benchmarks.rivals import VARIANTS, pick
from benchmarks.timing import PAUSE
from benchmarks.worker import Worker

NOTE = """µs per training step: gathering of the shuffled batch, forward, softmax cross-entropy, backward, Adam. Median
of {rounds} rounds in which the processes took turns. For each rival its fastest variant, named below; for nncore
the default, and one thread. limit: the arithmetic of the step's matrix products at the speed of the best product
measured in this run, {peak} GFLOP/s. FMA and bfloat16 limit: the same at the rate of the instruction, a float32 multiply-add
or one of pairs of bfloat16 numbers, measured in each round. ×: time over nncore's; "of limit ×": nncore's time
over the limit. Rivals in bfloat16 round the factors of products and keep everything else in float32."""


def start(net: nets.Net, rivals: Iterable[str], dtype: str) -> dict[tuple[str, str], Worker]:
    """One worker per variant of each rival; workers of an absent rival hold the reason."""
    workers: dict[tuple[str, str], Worker] = {}
    for rival in rivals:
        for variant, options in VARIANTS[rival].items():
            workers[rival, variant] = worker = Worker(rival.partition(" ")[0], net, dtype, options)
            if worker.problem:
                print(f"{net.name}: {rival}: {worker.problem}", file=sys.stderr)
                break
    return workers


def measure(
    net: nets.Net, rivals: list[str], dtype: str, rounds: int, seconds: float
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Seconds per step in each round, for each variant; and the rates of the instructions, as medians over the rounds."""
    workers, rates = start(net, rivals, dtype), []
    results = {
        key: {"rival": key[0], "variant": key[1], **worker.about, "step_seconds": [], "idle_seconds": []}
        for key, worker in workers.items()
    }
    try:
        for worker in workers.values():
            worker.ask("measure", seconds=0.1)  # compile and measure the duration of an epoch
            time.sleep(PAUSE)
        keys = list(workers)
        for round_ in range(rounds):
            if dtype == "float32":
                rates.append(instructions.rates(machine.cores()))
            for key in keys[round_ % len(keys) :] + keys[: round_ % len(keys)]:
                answer = workers[key].ask("measure", seconds=seconds)
                if answer is not None:
                    results[key]["step_seconds"].append(answer["seconds"] / answer["steps"])
                    results[key]["idle_seconds"].append(answer["idle"])
                time.sleep(PAUSE)
    finally:
        for key, worker in workers.items():
            worker.close()
            results[key]["problem"] = worker.problem
    for result in results.values():
        result["median"] = statistics.median(result["step_seconds"]) if not result["problem"] else None
    return list(results.values()), instructions.medians(rates) if rates else {}


def chosen(results: list[dict[str, Any]], rival: str) -> dict[str, Any] | None:
    """The variant that counts: the fastest, or the default of nncore."""
    measured = [r for r in results if r["rival"] == rival and r["median"] is not None]
    if rival.startswith("nncore"):
        measured = [r for r in measured if r["variant"] == "default"]
    return min(measured, key=lambda r: r["median"], default=None)


def row(net: nets.Net, results: list[dict[str, Any]], rivals: list[str], peak: float, rates: dict[str, float]) -> list[str]:
    """One row of the table."""
    times = {rival: (chosen(results, rival) or {}).get("median") for rival in rivals}
    own = times.get("nncore")
    limit = net.flops / peak
    single = {r["rival"]: r["median"] for r in results if r["variant"] == "1 thread"}
    cells = [f"{net.name} ({net.batch})"]
    for rival in rivals:
        problem = next((r["problem"] for r in results if r["rival"] == rival and r["problem"]), None)
        missing = "absent" if problem and problem.startswith("absent") else "failed"
        cells.append(table.number(times[rival] * 1e6) if times[rival] else missing)
        if rival.startswith("nncore"):
            cells.append(table.number(single[rival] * 1e6) if single.get(rival) else "–")
    cells.append(table.number(limit * 1e6, 2))
    cells += [table.number(net.flops / rate * 1e6 if rate else None, 3) for rate in rates.values()]
    cells += [table.number(times[r] / own) if own and times[r] else "–" for r in rivals if r != "nncore"]
    return [*cells, table.number(own / limit) if own else "–"]


def header(rivals: list[str], dtype: str) -> list[str]:
    """Names of the columns."""
    names = ["net (batch)"]
    for rival in rivals:
        names += [rival, "1 thread"] if rival.startswith("nncore") else [rival]
    names += ["limit", "FMA limit", "bfloat16 limit"] if dtype == "float32" else ["limit"]
    return [*names, *(f"{rival} ×" for rival in rivals if rival != "nncore"), "of limit ×"]


def run(chosen_nets: list[nets.Net], rivals: list[str], dtype: str, rounds: int, seconds: float) -> None:
    """Measure, print, save."""
    about = machine.describe()
    peak = limits.peak(dtype)
    rows, saved, ways = [], [], []
    for net in chosen_nets:
        print(f"{net.name} …", file=sys.stderr)
        results, rates = measure(net, rivals, dtype, rounds, seconds)
        rows.append(row(net, results, rivals, peak, rates))
        best = [chosen(results, rival) for rival in rivals if not rival.startswith("nncore")]
        ways.append(f"  {net.name}: " + ", ".join(f"{b['rival']} ({b['variant']})" for b in best if b))
        saved.append(
            {"net": net.name, "batch": net.batch, "rows": net.rows, "flops": net.flops, "rates": rates, "results": results}
        )
    print(machine.text(about), end="\n\n")
    print(f"{dtype}\n")
    print(table.render(header(rivals, dtype), rows), end="\n\n")
    print(NOTE.format(rounds=rounds, peak=table.number(peak / 1e9)))
    print("Fastest variants:", *ways, sep="\n")
    if any(r.get("note", "").startswith("two classes") for s in saved for r in s["results"]):
        print("scikit-learn uses one sigmoid unit for two classes instead of a softmax of two: 2-16-2 is 2-16-1 there.")
    everything = {"machine": about, "dtype": dtype, "rounds": rounds, "seconds": seconds, "peak": peak, "nets": saved}
    print("Saved to", table.save("training" if dtype == "float32" else f"training-{dtype}", everything))


def check(chosen_nets: list[nets.Net], rivals: list[str], dtype: str, epochs: int) -> bool:
    """Print each rival's loss before and after training from the same weights; True if they agree.

    Before training they must be equal up to rounding; after it they differ by the order of the batches.
    """
    rows, verdicts, good = [], [], True
    for net in chosen_nets:
        before: list[float] = []
        after: list[float] = []
        cells: list[list[str]] = []
        for (rival, variant), worker in start(net, rivals, dtype).items():
            answer = worker.ask("check", epochs=epochs)
            worker.close()
            name = f"{rival}, {variant}"
            if answer is None:
                good &= (worker.problem or "").startswith("absent")
                cells.append([net.name, name, "–", "–", (worker.problem or "").partition(":")[0]])
                continue
            before.append(answer["before"])
            after.append(answer["after"])
            cells.append([net.name, name, f"{before[-1]:.6f}", f"{after[-1]:.4f}", ""])
        middle = statistics.median(after) if after else 0.0
        same = all(abs(b - before[0]) < 1e-4 * before[0] for b in before)
        same &= all(abs(a - middle) < 0.1 * middle and a < 0.9 * b for a, b in zip(after, before, strict=True))
        good &= same
        rows += cells
        verdicts.append(f"{net.name}: {'the same' if same else 'DIFFERENT'}")
    print(table.render(["net", "rival", "loss at the start", f"after {epochs} epochs", "problem"], rows))
    print("\nThe losses are", ", ".join(verdicts))
    return good


def main(arguments: list[str] | None = None) -> None:
    """Measure a training step of nncore and of its rivals."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=main.__doc__)
    names = ",".join(net.name for net in nets.NETS)
    parser.add_argument("--nets", default=names, help="comma-separated; others as sizes@batch")
    parser.add_argument("--rivals", default="", help="comma-separated; default: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each measurement")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--check", action="store_true", help="check that all rivals do the same computation; measure nothing")
    parser.add_argument("--epochs", type=int, default=5, help="of --check")
    asked = parser.parse_args(arguments)
    chosen_nets = [nets.parse(name) for name in asked.nets.split(",")]
    rivals = pick(asked.rivals, asked.dtype)
    if unknown := set(rivals) - set(VARIANTS):
        parser.error(f"unknown rivals {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}")
    if asked.check:
        sys.exit(not check(chosen_nets, rivals, asked.dtype, asked.epochs))
    run(chosen_nets, rivals, asked.dtype, asked.rounds, asked.seconds)


if __name__ == "__main__":
    main()

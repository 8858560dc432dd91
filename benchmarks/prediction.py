"""Predictions of few and of many rows, compared with other libraries, each in a separate process.

    python -m benchmarks.prediction [--rows 1,100,10000] [--rivals nncore,numpy] [--dtype float64]

The nets of the training table with their initial weights. Each rival gets a NumPy array and returns one; nncore's
`predict` also checks it for numbers that are not finite. For rivals, the fastest variant counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from benchmarks import machine, nets, table
from benchmarks.rivals import pick
from benchmarks.timing import PAUSE
from benchmarks.training import chosen, start

Results = list[dict[str, Any]]


def measure(net: nets.Net, rivals: list[str], sizes: list[int], dtype: str, rounds: int, seconds: float) -> Results:
    """Seconds of a call in each round, for each number of rows and each variant of each rival."""
    workers = start(net, rivals, dtype)
    found = []
    for rows in sizes:
        times: dict[tuple[str, str], list[float]] = {key: [] for key in workers}
        for _ in range(rounds):
            for key, worker in workers.items():
                answer = worker.ask("predict", rows=rows, seconds=seconds)
                if answer is not None:
                    times[key].append(answer["seconds"] / answer["calls"])
                time.sleep(PAUSE)
        results = [
            {"rival": rival, "variant": variant, "seconds": t, "median": statistics.median(t) if t else None}
            for (rival, variant), t in times.items()
        ]
        found.append({"net": net.name, "rows": rows, "results": results})
    for worker in workers.values():
        worker.close()
    return found


def main(arguments: list[str] | None = None) -> None:
    """Time predictions of nncore and of its rivals."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prediction", description=main.__doc__)
    names = ",".join(net.name for net in nets.NETS)
    parser.add_argument("--nets", default=names, help="comma-separated; others as sizes@batch")
    parser.add_argument("--rows", default="1,100,10000", help="comma-separated")
    parser.add_argument("--rivals", default="", help="comma-separated; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.05, help="of each measurement, one call at least")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    asked = parser.parse_args(arguments)
    about, rivals, sizes = machine.describe(), pick(asked.rivals, asked.dtype), [int(n) for n in asked.rows.split(",")]
    others = [rival for rival in rivals if rival != "nncore"]
    saved, lines = [], []
    for name in asked.nets.split(","):
        saved += measure(nets.parse(name), rivals, sizes, asked.dtype, asked.rounds, asked.seconds)
    for found in saved:
        times = {rival: (chosen(found["results"], rival) or {}).get("median") for rival in rivals}
        own = times.get("nncore")
        cells = [table.number(times[rival] * 1e6) if times[rival] else "absent" for rival in rivals]
        ratios = [table.number(times[rival] / own) if own and times[rival] else "–" for rival in others]
        lines.append([found["net"], f"{found['rows']:,}", *cells, *ratios])
    print(machine.text(about), end="\n\n")
    print(f"{asked.dtype}; µs per call, median of {asked.rounds} rounds in rotation; ×: time over nncore's\n")
    print(table.render(["net", "rows", *rivals, *(f"{rival} ×" for rival in others)], lines))
    print("\nSaved to", table.save("prediction", {"machine": about, "dtype": asked.dtype, "results": saved}))


if __name__ == "__main__":
    main()

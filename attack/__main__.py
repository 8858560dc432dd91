"""python -m attack files calls models --seconds 60 --seed 0"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from attack import pool

SUBJECTS = ("files", "calls", "models", "threads", "resume", "together")
sys.path.append(str(Path(__file__).parents[1] / "tests"))  # models are drawn with its helpers


def main() -> int:
    """Run the subjects one after the other and print their reports; 1 if a case failed."""
    parser = argparse.ArgumentParser(prog="python -m attack", description="Attack nncore at random, in processes of their own.")
    parser.add_argument("subjects", nargs="+", choices=SUBJECTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, help="how many cases of each subject")
    parser.add_argument("--seconds", type=float, help="how long for each subject; 60 unless --cases is given")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--case", type=int, help="run only this one, in this process")
    options = parser.parse_args()
    seconds = 60.0 if options.cases is None and options.seconds is None else options.seconds
    failed = 0
    for name in options.subjects:
        subject = importlib.import_module(f"attack.{name}")
        case, limit = subject.case, getattr(subject, "LIMIT", 20.0)
        if options.case is not None:
            print(f"{name} {options.case}: {pool.once(case, options.seed, options.case)}")
            continue
        report = pool.run(
            case, seed=options.seed, cases=options.cases, seconds=seconds, processes=options.processes, limit=limit
        )  # fmt: skip
        print(report, flush=True)
        failed += report.failures.total()
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Measure neuroevo against other ways to do the same work, and write a table.

    python benchmarks/run.py [--cases NAME …] [--quick] [--out FILE]

Every case runs in a process of its own, in which its contenders take turns. The table
is written anew after every case. ``--quick`` is a smoke run: its figures mean nothing.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

# What is measured is the checkout that this file lies in, in child processes as well.
ROOT = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, ROOT)
os.environ["PYTHONPATH"] = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])

import measure  # noqa: E402
import table  # noqa: E402
from cases import CASES  # noqa: E402

RESULTS = Path(__file__).with_name("RESULTS.md")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = {case.name: case for case in CASES}
    chosen = {"nargs": "+", "metavar": "NAME", "choices": names, "default": list(names)}
    parser.add_argument("--cases", **chosen, help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", choices=names, help=argparse.SUPPRESS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(child(names[options.child], options.quick, options.only)))
        return
    results = {}
    for number, name in enumerate(options.cases, 1):
        began = time.perf_counter()
        print(f"[{number}/{len(options.cases)}] {name}", file=sys.stderr, flush=True)
        results[name] = measure.in_process(name, options.quick)
        measure.report(f"{time.perf_counter() - began:.0f} s in all")
        options.out.write_text(table.document(CASES, results, options.quick))


def child(case, quick, only):
    """Measure one case here; return its rows, and what the machine is."""
    if not isinstance(case, measure.Compare):  # starts processes that want the devices
        return {"rows": measure.measure(case, quick)}
    import jax

    from neuroevo import sharding

    sharding.configure(None)  # all cores of a CPU, whatever a contender uses
    import machine

    devices = jax.local_devices()
    rows = measure.measure(case, quick, only)
    return {"machine": machine.describe(devices), "rows": rows}


if __name__ == "__main__":
    main()

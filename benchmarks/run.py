"""Measure neuroevo against other ways to do the same work, and write a table.

    python benchmarks/run.py [--cases NAME …] [--quick] [--out FILE]

Every case runs in a process of its own, in which its contenders take turns. The table
is written anew after every case; what it has of others on the same machine stays.
``--quick`` is a smoke run: its figures mean nothing.
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
PLACE = "place"  # in place of a case


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = {case.name: case for case in CASES}
    chosen = {"nargs": "+", "metavar": "NAME", "choices": names, "default": list(names)}
    parser.add_argument("--cases", **chosen, help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", choices=[*names, PLACE], help=argparse.SUPPRESS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        case = names.get(options.child)
        print(json.dumps(child(case, options.quick, options.only)))
        return
    if options.quick and options.out == RESULTS:
        parser.error("--quick: expected --out FILE as well, for its figures")
    written = options.out.read_text(encoding="utf-8") if options.out.exists() else ""
    before, results = table.read(written), {}
    place = measure.in_process(PLACE)
    if before.machine not in ({}, place["machine"]):
        parser.error(f"{options.out} is of another machine; expected a new file")
    for number, name in enumerate(options.cases, 1):
        began = time.perf_counter()
        print(f"[{number}/{len(options.cases)}] {name}", file=sys.stderr, flush=True)
        results[name] = measure.in_process(name, options.quick)
        measure.report(f"{time.perf_counter() - began:.0f} s in all")
        text = table.document(CASES, results, place, options.quick, before)
        options.out.write_text(text, encoding="utf-8")


def child(case, quick, only):
    """Measure a case here and return its rows; without one, tell where this is."""
    if isinstance(case, measure.Memory | measure.Start):
        # These start processes that want the devices.
        return {"rows": measure.measure(case, quick)}
    import jax

    from neuroevo import devices

    # All cores of a CPU, whatever a contender uses.
    devices.configure(None, **(measure.compilation(case) if case else {}))
    import machine

    if case is None:
        return machine.describe(jax.local_devices())
    return {"rows": measure.measure(case, quick, only)}


if __name__ == "__main__":
    main()

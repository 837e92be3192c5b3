"""Measure a case, in this process or in processes that it starts.

What comes back is a list of rows, each a mapping with the ``contender``, a list
``seconds`` with an entry for each round, and what else is known; or an ``error``.
"""

import contextlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cases import COMMON, Compare, Memory, Start, Still

PATIENCE = 1200  # seconds for a process


def measure(case, quick=False, only=None):
    """Return the rows of a case, of a comparison if need be for one contender only."""
    if isinstance(case, Compare):
        return compare(case, quick, only)
    return {Memory: memory, Start: start}[type(case)](case, quick)


def compare(case, quick=False, only=None):
    """Let contenders take turns, A B A B …, with the same seed in a round."""
    chosen = [c for c in case.contenders if only in (None, c.label)]
    rows = [
        {"contender": c.label, "bound": c.bound, "seconds": [], "fitness": []}
        for c in chosen
    ]
    samplers = {}
    for contender, row in zip(chosen, rows, strict=True):
        with _recording(row):
            samplers[contender.label], row["ready"] = prepare(case, contender, quick)
            report(f"{contender.label}: ready after {row['ready']:.1f} s")
    began = time.perf_counter()
    least, most = (1, 1) if only or quick else case.rounds
    for number in range(most):
        if number >= least and time.perf_counter() - began > case.seconds:
            break
        for row in rows:
            if "error" not in row:
                with _recording(row):
                    seconds, row["work"], fitness = samplers[row["contender"]](number)
                    row["seconds"].append(seconds)
                    row["fitness"].append(fitness)
                    report(f"{row['contender']}: {seconds:.3g} s")
    if only:
        rows[0]["memory"] = peak_memory()
    return rows


def prepare(case, contender, quick=False):
    """Compile a contender; return its ``sample(seed)`` and the seconds that it took."""
    import contenders

    from neuroevo.run.run import Run

    run = Run(configure(case, contender, quick))
    generations = 1 if quick else contender.generations
    began = time.perf_counter()
    sample = getattr(contenders, contender.kind)(run, generations, quick)
    seconds = time.perf_counter() - began
    if case.decode_only and not contender.bound:
        work = decode_work(run)
        return lambda seed: sample(seed)._replace(work=work, fitness=[]), seconds
    return sample, seconds


def compilation(case):
    """Return how to compile a case for a CPU; JAX need not have started."""
    from neuroevo.run import tuning

    config = configure(case, case.contenders[0], on_cpu=True)
    return {"physics": tuning.is_slow(config), "training": tuning.trains_much(config)}


def configure(case, contender, quick=False, *, on_cpu=False):
    """Return the configuration of a contender on this machine, or on a CPU."""
    import jax

    from neuroevo.config import resolve
    from neuroevo.config.layers import Layer, read_layers

    options = dict(case.options)
    layers = read_layers(options.pop("preset", None), None)
    if not on_cpu and jax.default_backend() != "cpu":
        options |= case.gpu
    values = (COMMON, options, contender.options)
    layers += [Layer(case.name, each) for each in values]
    custom = {"env": Still()} if case.decode_only else None
    resolved = resolve.resolve(layers, custom=custom)
    if quick:
        layers.append(Layer("quick", _quick(resolved)))
        resolved = resolve.resolve(layers, custom=custom)
    return resolved


def _quick(config):
    """Return options that make a generation cheap, where the parts have them."""
    env = config.parts["env"]
    limits = {
        f"env.{name}": 10
        for name in ("episode_length", "max_steps_in_episode")
        if hasattr(env, name)
    }
    direct = config.names["encoding"] == "direct"
    return {"population": 4} | limits | ({} if direct else {"encoding.steps": 2})


def decode_work(run):
    """Return the arithmetic and the memory traffic of a generation's decodes.

    FLOP are those of the matrix products for one pair and step: 2 for each weight
    forwards, 2 for its gradient, and but in the first layer 2 for the gradient of its
    input. Bytes are those of Adam without any cache: parameter, two moments and
    gradient, 4 bytes each, are read and written once for each step.
    """
    import jax

    parts, settings = run.parts, run.config.settings
    shapes = jax.tree.leaves(jax.eval_shape(parts.policy.init, jax.random.key(0)))
    weights = [math.prod(leaf.shape) for leaf in shapes if leaf.ndim > 1]
    inputs = math.prod(parts.environment.spec.observation)
    first = inputs * run.config.parts["policy"].hidden[0]
    options = run.config.parts["encoding"]
    times = settings.population * settings.policies * options.steps
    return {
        "FLOP": times * options.size * (6.0 * sum(weights) - 2.0 * first),
        "B": times * 32.0 * sum(leaf.size for leaf in shapes),
    }


def peak_memory():
    """Return the peak memory of this process in bytes, by place."""
    import jax

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = {"resident": peak if sys.platform == "darwin" else peak * 1024}
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        memory["device"] = stats["peak_bytes_in_use"]
    return memory


def memory(case, quick=False):
    """Run one round of each contender in a process of its own."""
    from cases import CASES

    (of,) = (each for each in CASES if each.name == case.of)
    rows = []
    for contender in of.contenders:
        result = in_process(of.name, quick, only=contender.label)
        row = result["rows"][0] | {"contender": contender.label}
        keep = ("contender", "memory", "error")
        rows.append({key: row[key] for key in keep if key in row})
    return rows


def in_process(name, quick=False, only=None):
    """Return what ``run.py --child`` tells of a case: its rows, and the machine."""
    run = Path(__file__).with_name("run.py")
    arguments = ["--quick"] * quick + (["--only", only] if only else [])
    command = [sys.executable, str(run), "--child", name, *arguments]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        return {"rows": [{"contender": only or "all", "error": one_line(error)}]}


def start(case, quick=False):
    """Time a command from its start to the first generation's metrics.

    A round is two runs with one compilation cache, empty before the first of them.
    """
    rows = [
        {"contender": f"{cache} compilation cache", "seconds": []}
        for cache in ("empty", "filled")
    ]
    for _ in range(1 if quick else case.rounds):
        with tempfile.TemporaryDirectory() as directory:
            for row in rows:
                if "error" not in row:
                    with _recording(row):
                        seconds = _first_generation(case, Path(directory))
                        row["seconds"].append(seconds)
                        report(f"{row['contender']}: {seconds:.1f} s")
    return rows


def _first_generation(case, directory):
    """Return the seconds until a command's first generation is over; let it end."""
    run = directory / f"run-{time.monotonic_ns()}"
    options = ["--quiet", "--generations", "1", "--final-policies", "0"]
    command = [sys.executable, "-m", "neuroevo", "train", *case.arguments, *options]
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(directory / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--run-dir", str(run)],
        env=os.environ | cache,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics, seconds = run / "metrics.jsonl", None
    try:
        while seconds is None and time.perf_counter() - began < PATIENCE:
            if process.poll() is not None or (
                metrics.exists() and metrics.stat().st_size
            ):
                seconds = time.perf_counter() - began
            time.sleep(0.02)
        _, told = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    if process.returncode or seconds is None:
        raise RuntimeError(told)
    return seconds


@contextlib.contextmanager
def _recording(row):
    """Put an exception into a row, instead of ending the case."""
    try:
        yield
    except Exception as error:
        row["error"] = one_line(error)
        report(f"{row['contender']}: {row['error']}")


def one_line(error):
    """Return an exception as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def report(text):
    """Tell of progress, on stderr."""
    print(f"  {text}", file=sys.stderr, flush=True)

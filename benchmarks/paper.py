"""What the paper reports, and our own results beside it: `TABLE.md`, from runs' files.

    python benchmarks/paper.py [RUN …] [--teacher "WHAT, RETURN, STEPS"]

adds runs that have ended to `paper.jsonl`, and writes the table anew. ``A+B`` is a
search B that started at the best genome of A: its environment steps and time are those
of both. A run that learned from a teacher or from rows needs ``--teacher``, which says
what the teacher is, what it returns and how many environment steps it took. A run that
is added again, or as the beginning of a longer chain, takes the place of its earlier
record.
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from search_table import commands

from neuroevo.store.record import RunRecord, read_record
from neuroevo.terminal.formatting import format_count, format_duration, format_value
from neuroevo.views.colors import color
from neuroevo.views.figures import print_figure

HERE = Path(__file__).parent
RECORDS, TABLE = HERE / "paper.jsonl", HERE / "TABLE.md"
FIGURE = HERE.parent / "docs" / "figures" / "paper-table.svg"
NONE = "–"
POINTS = 40  # at most, of a curve


class Cell(NamedTuple):
    """What the paper reports for a number of pairs in an environment."""

    env: str
    size: int
    fresh: float | None  # HaDES-R
    fixed: float | None  # HaDES-F
    note: str = ""


OTHER = "the environment has changed since"
# Population means of the last generations, three seeds (Lupu et al., 2024).
PUBLISHED = (
    Cell("hopper", 4, 1741, 1797),
    Cell("hopper", 16, 1782, 1838),
    Cell("hopper", 64, 1785, 1845),
    Cell("halfcheetah", 4, 2707, 2782),
    Cell("halfcheetah", 16, 3450, 3545),
    Cell("halfcheetah", 64, 3502, 3601),
    Cell("walker2d", 64, 2397, 2726),
    Cell("ant", 64, 250, 1130, "at its highest 2028 and 2739; no action: 750"),
    Cell("humanoid", 4, 1013, 1034, "no action: 487"),
    Cell("humanoid", 16, 1106, 2301),
    Cell("humanoid", 64, 2498, 4353),
    Cell(
        "humanoidstandup", 64, 218655, 249962, "218655: a torso 3.3 m high throughout"
    ),
    Cell("reacher", 64, -168.5, -168.2, "no action: -180"),
    Cell("inverted_double_pendulum", 64, 7589, 8950, OTHER),
    Cell("Breakout-MinAtar", 16, 10.7, 15.2),
    Cell("Asterix-MinAtar", 16, 4.7, 7.7),
    Cell("SpaceInvaders-MinAtar", 16, 25.2, 39.7),
    Cell("Freeway-MinAtar", 16, 0, 0),
    Cell("Seaquest-MinAtar", 16, None, None, "2000 steps per second on a core"),
    Cell("Pong-misc", 3, None, 193.3, "at most 1000, which standing still returns"),
)
SCRATCH, TAUGHT = "from scratch", "with a teacher"


def record(chain: Sequence[RunRecord], teacher: str | None) -> dict[str, Any]:
    """Return what is kept of a run and of those that it started from."""
    last = chain[-1]
    config, summary = last.config, last.summary
    taught = any(
        run.config["strategy"]["name"] == "gradients" or run.config.get("rows")
        for run in chain
    )
    if taught and teacher is None:
        raise SystemExit(f"{last.path}: expected --teacher, as it learned from one")
    kind = "best" if "best_return_mean" in summary else "final"
    if f"{kind}_return_mean" not in summary:
        raise SystemExit(f"{last.path}: expected a run that has been evaluated")
    processor = last.environment.get("processor") or "processor not recorded"
    return {
        "env": summary["env"],
        "size": config["encoding"]["size"],
        "init": config["encoding"]["init"],
        "how": TAUGHT if taught else SCRATCH,
        "teacher": teacher if taught else None,
        "seed": config["seed"],
        "mean": summary[f"{kind}_return_mean"],
        "interval": summary[f"{kind}_return_interval"],
        "worst": min(summary[f"{kind}_return_per_policy"]),
        "networks": config["final_policies"],
        "episodes": config["final_episodes"],
        "env_steps": sum(run.summary["env_steps"] for run in chain),
        "seconds": sum(run.summary["seconds"] for run in chain),
        "machine": f"{processor}, {last.environment['devices']}",
        "jax": last.environment["versions"]["jax"],
        "revision": (last.environment["git_revision"] or "")[:12] or None,
        "day": last.environment["started"][:10],
        "commands": [line for run in chain for line in commands(run.environment)],
        "curve": curve(chain),
    }


def curve(chain: Sequence[RunRecord]) -> list[list[float]]:
    """Return environment steps and held-out returns of the center, thinned out."""
    points, before = [], 0
    for run in chain:
        steps, returns = run.column("env_steps"), run.column("center_return")
        known = np.isfinite(returns)
        points += zip(before + steps[known], returns[known], strict=True)
        before += run.summary["env_steps"]
    every = -(-len(points) // POINTS) or 1
    return [[float(x), round(float(y), 4)] for x, y in points[::every]]


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two records are of the same search, or one of its beginning."""
    commands = zip(one["commands"], other["commands"], strict=False)
    begins = all(mine == theirs for mine, theirs in commands)
    return begins and all(one[key] == other[key] for key in ("seed", "jax"))


def document(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the table as Markdown."""
    parts = [ABOUT, *overview(records), "", *counted(records), ""]
    if records:
        parts += [f"![Curves](../docs/figures/{FIGURE.name})", ""]
    for cell in PUBLISHED:
        own = find(records, cell)
        if own:
            parts += [f"## {title(cell)}", "", *details(own), ""]
    return "\n".join(parts)


ABOUT = """\
# The paper's table

Returns of data sets: those that the paper reports (Lupu et al., ICLR 2024), and ours.
The paper's are population means of the last generations, over three seeds; a search in
brax took about 33 000 M environment steps. Ours are held out: the best center's mean
over fresh networks in fresh episodes, with a 95 % interval (24 networks of 4 episodes,
if the lists below say nothing else). A cell has the mean over all seeds of one setting,
with the lowest and the highest of them: of the setting that was searched with most
often, and among equals of the one that returned most. The lists have every search, and
in them those of the cell are bold. *From scratch* is evolution alone, the problem of
the paper; *with a teacher* is distilled from a policy, whose own steps are not among
those of the search, or starts from its rows. **Bold** cells are at or above HaDES-R.
Times are upper bounds: the machines did other work, too, or stood still. Searches that
are not kept as runs are in [SEARCH.md](SEARCH.md). What is *not measured* was left out
for time: halfcheetah played 1700 steps per second of a core that other work shared, so
that a search or a teacher takes hours; Pong-misc needs no teacher.

`python benchmarks/paper.py` makes this file from the runs' own files.
"""


def title(cell: Cell) -> str:
    """Return the name of a cell."""
    return f"{cell.env}, {cell.size} pairs"


def find(
    records: Iterable[Mapping[str, Any]], cell: Cell, how: str | None = None
) -> list[Mapping[str, Any]]:
    """Return the records of a cell, by their seeds."""
    found = [
        each
        for each in records
        if (each["env"], each["size"]) == (cell.env, cell.size)
        and how in (None, each["how"])
    ]
    return sorted(found, key=lambda each: (each["how"], each["init"], each["seed"]))


# Options that say how long a search may take, and how it is measured.
SPENT = {"--seed", "--run-dir", "--quiet", "--devices", "--target", "--generations"}
SPENT |= {"--max-seconds", "--max-env-steps", "--center-every", "--center-policies"}
SPENT |= {"--final-policies", "--final-episodes"}


def setting(record: Mapping[str, Any]) -> tuple[frozenset[str], ...]:
    """Return what the seeds of a setting have in common, for each of its runs.

    Runs and teachers are told apart by their names without digits: those of several
    seeds differ by a number.
    """
    found = []
    for command in record["commands"]:
        name, *options = re.split(r" (?=--[a-z])", command)
        if name.startswith("neuroevo resume"):
            continue
        kept = {option for option in options if option.split()[0] not in SPENT}
        files = {option for option in kept if option.startswith("--start ")}
        names = {re.sub(r"\d", "", text) for text in {name} | files}
        found.append(frozenset(kept - files | names))
    return tuple(found)


def shown(own: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the searches of the setting that a cell shows; see `ABOUT`."""
    groups = defaultdict(list)
    for each in own:
        groups[setting(each)].append(each)
    return max(groups.values(), key=lambda group: (len(group), average(group)))


def average(own: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean return of some searches."""
    return float(np.mean([each["mean"] for each in own]))


def overview(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table with a row for each cell."""
    lines = [
        f"| environment | pairs | HaDES-R | HaDES-F | {SCRATCH} | {TAUGHT} |",
        "|---" * 6 + "|",
    ]
    for cell in PUBLISHED:
        texts = [NONE if x is None else f"{x:g}" for x in (cell.fresh, cell.fixed)]
        for how in (SCRATCH, TAUGHT):
            own = find(records, cell, how)
            bold = "**" if own and reached(own, cell) else ""
            text = several(shown(own)) if own else "not measured"
            texts.append(f"{bold}{text}{bold}")
        note = f" ({cell.note})" if cell.note else ""
        lines.append(f"| {cell.env}{note} | {cell.size} | {' | '.join(texts)} |")
    return lines


def several(own: Sequence[Mapping[str, Any]]) -> str:
    """Return the mean of some searches, and the lowest and the highest."""
    means = [each["mean"] for each in own]
    text = format_value(average(own))
    if len(means) == 1:
        return f"{text} (one search)"
    ends = " to ".join(map(format_value, (min(means), max(means))))
    return f"{text} ({len(means)} searches: {ends})"


def reached(own: Sequence[Mapping[str, Any]], cell: Cell) -> bool:
    """Return whether the searches that a cell shows are at or above HaDES-R."""
    return cell.fresh is not None and average(shown(own)) >= cell.fresh


def counted(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how many cells of HaDES-R were reached."""
    cells = [cell for cell in PUBLISHED if cell.fresh is not None]
    lines = []
    for how in (SCRATCH, TAUGHT):
        found = [(find(records, cell, how), cell) for cell in cells]
        count = sum(bool(own) and reached(own, cell) for own, cell in found)
        lines.append(f"- {how}: {count} of the {len(cells)} cells of HaDES-R")
    return lines


def details(own: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return every search of a cell, with its commands."""
    lines = [
        "| | networks | seed | held out | worst network | environment steps | time |",
        "|---" * 7 + "|",
    ]
    hows = {each["how"] for each in own}
    chosen = [
        each
        for how in hows
        for each in shown([other for other in own if other["how"] == how])
    ]
    for each in own:
        low, high = map(format_value, each["interval"])
        bold = "**" if each in chosen else ""
        texts = (
            each["how"],
            "fixed" if each["init"] == "fixed" else "fresh",
            each["seed"],
            f"{bold}{format_value(each['mean'])}{bold} ({low} to {high})",
            format_value(each["worst"]),
            format_count(each["env_steps"]),
            format_duration(each["seconds"]),
        )
        lines.append(f"| {' | '.join(map(str, texts))} |")
    lines.append("")
    for each in own:
        lines.append(f"- seed {each['seed']}, {each['how']}: {about(each)}")
    return lines


def about(each: Mapping[str, Any]) -> str:
    """Return how a search was made, and where."""
    commands = ", then ".join(f"`{command}`" for command in each["commands"])
    teacher = f"; teacher: {each['teacher']}" if each["teacher"] else ""
    measured = f"{each['networks']} networks of {each['episodes']} episodes"
    where = f"{each['machine']}, jax {each['jax']}, {each['day']}"
    revision = f", {each['revision']}" if each["revision"] else ""
    return f"{commands}{teacher} ({measured}; {where}{revision})"


def draw(records: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Draw the held-out returns of all searches, one panel for each cell."""
    cells = [cell for cell in PUBLISHED if find(records, cell)]
    columns = min(3, len(cells))
    rows = -(-len(cells) // columns)
    with print_figure(file, (3 * columns, 2.2 * rows)) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(cells) :]:
            axes.set_axis_off()
        for axes, cell in zip(grid.flat, cells, strict=False):
            for i, how in enumerate((SCRATCH, TAUGHT)):
                for each in find(records, cell, how):
                    steps, returns = np.array(each["curve"]).T
                    axes.plot(steps / 1e6, returns, color=color(i), lw=1, label=how)
            if cell.fresh is not None:
                axes.axhline(cell.fresh, color="black", ls="--", lw=1, label="HaDES-R")
            axes.set_title(title(cell))
        labels = {}
        for axes in grid.flat:
            lines, names = axes.get_legend_handles_labels()
            labels |= dict(zip(names, lines, strict=True))
        figure.legend(labels.values(), labels, loc="outside upper center", ncols=3)
        figure.supxlabel("environment steps of the search (millions)")
        figure.supylabel("held-out return of the center")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="*", help="directories; A+B for a chain")
    parser.add_argument("--teacher", help="what it is, its return and its steps")
    options = parser.parse_args()
    records = []
    if RECORDS.exists():
        lines = RECORDS.read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
    for runs in options.runs:
        chain = [read_record(Path(run)) for run in runs.split("+")]
        new = record(chain, options.teacher)
        records = [each for each in records if not same(each, new)] + [new]
    text = "".join(f"{json.dumps(each)}\n" for each in records)
    RECORDS.write_text(text, encoding="utf-8")
    TABLE.write_text(document(records), encoding="utf-8")
    if records:
        draw(records, FIGURE)


if __name__ == "__main__":
    main()

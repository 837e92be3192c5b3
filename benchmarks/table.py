"""Results as Markdown, which can be read back and added to."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

NONE = "–"
HEAD = (
    "case",
    "jax",
    "contender",
    "seconds",
    "against the first",
    "rate",
    "fitness",
    "ready",
    "rounds",
)
ABOUT = """\
`seconds` is the time of a generation (in the last sections: of what they say), median
and in brackets the least and the greatest of all rounds. `against the first` is the
ratio to the first contender of the case in the same round, in the same way: above 1 is
slower. Contenders take turns in one process, with the same seed in a round, and the
time to build and compile, `ready`, is not part of any. neuroevo runs its generations
from the first one on (ten, where nothing else is said); where the others run fewer,
theirs cost the same whatever happens, as they always play all steps. `fitness` is the
mean of the population over those first generations that all contenders of the case ran,
with the standard deviation over rounds. `rate` counts environment steps before the ends
of episodes (evosax and EvoJAX do not tell which these are, so theirs are all), and is
left out where contenders ran different generations. Versions of jax were measured one
after the other on the same machine. The day and the revision of each case stand behind
its command.

`python benchmarks/run.py --out benchmarks/RESULTS-GPU.md` measures the same on a GPU,
with the populations that the cases name for it; its rows are in that file.
"""


class Written(NamedTuple):
    """What a document says: of its machine, and of each case that was measured."""

    machine: Mapping[str, str]
    versions: Mapping[str, str]  # by the version of jax
    rows: Mapping[str, Mapping[str, Sequence[str]]]  # lines of a case's table, likewise
    when: Mapping[str, Mapping[str, str]]  # likewise
    notes: str = ""  # written by hand, at the end


NOTES = "\n## Notes\n"
NOTHING = Written({}, {}, {}, {})


def read(text: str) -> Written:
    """Return what `document` wrote."""
    text, heading, notes = text.partition(NOTES)
    head, _, body = text.partition("\n## ")
    versions = dict(re.findall(r"^- jax (\S+): (.*)$", head, re.MULTILINE))
    machine = dict(re.findall(r"^- (\w+): (.*)$", head, re.MULTILINE))
    when = {
        case: dict(re.findall(r"jax (\S+): ([^;]+)", found))
        for case, found in re.findall(r"^- ([\w-]+): .*` \((.*)\)$", body, re.MULTILINE)
    }
    lines = [line for line in body.splitlines() if line.startswith("| ")]
    rows = {
        case: {
            jax: [line for line in lines if line.startswith(f"| {case} | {jax} |")]
            for jax in found
        }
        for case, found in when.items()
    }
    return Written(machine, versions, rows, when, heading + notes)


def document(
    cases: Sequence[Any],
    results: Mapping[str, Any],
    place: Mapping[str, Any],
    quick: bool = False,
    before: Written = NOTHING,
) -> str:
    """Return the whole document; what it has of no case was not measured.

    Args:
        cases: all cases there are.
        results: by the name of a case what was measured.
        place: where and when; see `machine.describe`.
        quick: whether it was a smoke run.
        before: of other cases and versions of jax, on the same machine.
    """
    lines = ["# Results", ""]
    if quick:
        lines += ["**A smoke run: no figure means anything.**", ""]
    jax, when = place["jax"], place["when"]
    versions = dict(sorted({**before.versions, jax: place["versions"]}.items()))
    lines += [f"- {key}: {value}" for key, value in place["machine"].items()]
    lines += [f"- jax {version}: {value}" for version, value in versions.items()]
    lines += ["", ABOUT]
    for section, group in itertools.groupby(cases, key=lambda case: case.section):
        group = list(group)
        lines += [f"## {section}", "", _line(HEAD), _line(["---"] * len(HEAD))]
        for case in group:
            rows = dict(before.rows.get(case.name, {}))
            if case.name in results:
                measured = case_rows(case.name, jax, results[case.name])
                rows[jax] = [*map(_line, measured)]
            if not rows:
                rows[""] = [_line(_cells(case.name, "", "", "not measured"))]
            lines += [line for _, each in sorted(rows.items()) for line in each]
        lines += [""]
        for case in group:
            found = dict(before.when.get(case.name, {}))
            found |= {jax: when} if case.name in results else {}
            days = "; ".join(f"jax {v}: {day}" for v, day in sorted(found.items()))
            command = f"python benchmarks/run.py --cases {case.name}"
            line = f"- {case.name}: {case.about}. `{command}`"
            lines.append(line + (f" ({days})" if days else ""))
        lines.append("")
    return "\n".join(lines) + before.notes


def case_rows(name: str, jax: str, result: Mapping[str, Any]) -> list[list[str]]:
    """Return the cells of a case with a version of jax, a row for each contender."""
    rows = result["rows"]
    shared = min(
        (len(f) for row in rows for f in row.get("fitness", []) if f), default=0
    )
    return [_row(name, jax, row, rows, shared) for row in rows]


def _row(name, jax, row, rows, shared):
    if "error" in row:
        return _cells(name, jax, row["contender"], f"not measured: {row['error']}")
    seconds, first = (each.get("seconds", []) for each in (row, rows[0]))
    paired = row is not rows[0] and not row.get("bound")
    paired = paired and len(first) == len(seconds) > 0
    return _cells(
        name,
        jax,
        row["contender"],
        spread(seconds),
        spread(np.divide(seconds, first)) if paired else NONE,
        _rates(row, rows) or _memory(row),
        _fitness(row, shared),
        f"{row['ready']:.1f} s" if "ready" in row else NONE,
        str(len(seconds)) if seconds else NONE,
    )


def _rates(row, rows):
    """Return the work done in a second, and its share of what is possible."""
    lengths = [
        len(each["fitness"][0]) for each in (row, rows[0]) if each.get("fitness")
    ]
    if not row.get("bound") and len(set(lengths)) > 1:
        return NONE  # episodes grow longer with the generations: nothing to compare
    texts = []
    for unit, amount in row.get("work", {}).items():
        rate = amount / np.median(row["seconds"])
        text = f"{si(rate)}{unit}/s"
        for bound in rows:
            if bound["bound"] and bound is not row and unit in bound.get("work", {}):
                most = bound["work"][unit] / np.median(bound["seconds"])
                text += f" ({rate / most:.0%} of {bound['contender']})"
        texts.append(text)
    return ", ".join(texts)


def _memory(row):
    places = row.get("memory", {}).items()
    return ", ".join(f"{si(size)}B {place}" for place, size in places) or NONE


def _fitness(row, shared):
    rounds = [np.mean(each[:shared]) for each in row.get("fitness", []) if each]
    if not rounds:
        return NONE
    return f"{np.mean(rounds):.4g} ± {np.std(rounds):.2g}"


def spread(values: Sequence[float]) -> str:
    """Return median, least and greatest."""
    if not len(values):
        return NONE
    low, middle, high = (f"{f(values):.3g}" for f in (np.min, np.median, np.max))
    return f"{middle} [{low} to {high}]"


def si(value: float) -> str:
    """Return a number with three digits and the prefix of its unit.

    >>> si(61.2e9)
    '61.2 G'
    """
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.3g} {prefix}"
    return f"{value:.3g} "


def _cells(*cells):
    return [*cells, *[NONE] * (len(HEAD) - len(cells))]


def _line(cells):
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"

"""Turn the runs of `genotypes.yaml` into `GENOTYPES.md` and its figures.

    neuroevo sweep benchmarks/genotypes.yaml --out runs/genotypes
    python benchmarks/genotypes.py runs/genotypes/*/

Every number in the tables is read from the runs' own files, see `neuroevo compare`.
Each family of tasks has a section of its own, which stays as it is if none of its runs
are given.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from neuroevo.store.record import RunRecord, read_record
from neuroevo.studies import compare
from neuroevo.studies.compare import Comparison
from neuroevo.terminal.formatting import format_count, format_duration, format_value
from neuroevo.views import aggregates, curves

HERE = Path(__file__).parent
FIGURES = HERE.parent / "docs" / "figures"
VERSIONS = ("jax", "evosax", "gymnax", "brax")
AXES = {
    "env_steps": ("At equal environment steps", "steps"),
    "cpu_seconds": ("In equal CPU time", "time"),
}
FAMILIES = {
    "Classic control": ("CartPole", "Acrobot", "MountainCar", "Pendulum"),
    "MinAtar": ("Breakout", "Asterix", "SpaceInvaders"),
    "brax": ("inverted_double_pendulum", "hopper"),
}
# Runs of few generations: their centers were evaluated too rarely for a curve.
FEW = ("hopper",)
SUMMARY = "summary"


def family_of(env: str) -> str:
    """Return the family of tasks that an environment belongs to."""
    return next(name for name, members in FAMILIES.items() if env.startswith(members))


def family(name: str, found: Sequence[RunRecord]) -> str:
    """Return the section of a family, and draw its figures."""
    slug = name.lower().replace(" ", "-")
    few = [run for run in found if run.config["env"]["name"] in FEW]
    curved = [run for run in found if run not in few]
    parts = [comparison(slug, curved, x) for x in AXES]
    return "\n".join([f"## {name}", "", coverage(found), *parts, *ends(few)])


def ends(found: Sequence[RunRecord]) -> list[str]:
    """Return tables of the final evaluations of each environment."""
    lines = []
    for env, settings in curves.group_by_env(found).items():
        means = {
            label: compare.estimate(
                {env: np.array([run.summary["final_return_mean"] for run in runs])},
                lambda returns: returns.mean(axis=0),
            )
            for label, runs in settings.items()
        }
        lines += [f"### {env}: the final evaluation", ""]
        lines += ["| setting | runs | return | 95 % interval |", "|---|---|---|---|"]
        for label, mean in sorted(means.items(), key=lambda item: -item[1].value):
            interval = f"{format_value(mean.low)} to {format_value(mean.high)}"
            row = (label, len(settings[label]), format_value(mean.value), interval)
            lines.append(f"| {' | '.join(map(str, row))} |")
        lines.append("")
    return lines


def comparison(slug: str, found: Sequence[RunRecord], x: str) -> str:
    """Return the tables of one comparison, and draw its figure."""
    title, suffix = AXES[x]
    compared = compare.compare(found, x)
    name = f"genotypes-{slug}-{suffix}.svg"
    figure = FIGURES / name
    figure.unlink(missing_ok=True)
    aggregates.draw(compared, figure)
    lines = [f"### {title}", "", *scores(compared), ""]
    lines += [
        f"![Scores along the budget, and their distribution](../docs/figures/{name})"
    ]
    if compared.left_out:
        lines += ["", f"Not complete yet: {', '.join(compared.left_out)}."]
    if not_learned := [task.env for task in compared.tasks if not task.learned]:
        lines += ["", f"Without scores, as nobody learned: {', '.join(not_learned)}."]
    return "\n".join([*lines, "", *returns(compared), ""])


def scores(comparison: Comparison) -> list[str]:
    """Return the table of scores."""
    rows = compare.table(comparison)
    lines = ["| setting | runs | score | 95 % interval |", "|---|---|---|---|"]
    for row in rows:
        low, high = row["score_interval"]
        ends = f"{low:.2f} to {high:.2f}"
        lines.append(
            f"| {row['setting']} | {row['runs']} | {row['score']:.2f} | {ends} |"
        )
    return lines


def returns(comparison: Comparison) -> list[str]:
    """Return the table of mean returns, with their intervals."""
    amount = format_count if comparison.x == "env_steps" else format_duration
    heads = [f"{task.env}, {amount(task.budget)}" for task in comparison.tasks]
    lines = [f"| setting | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for row in compare.table(comparison):
        cells = []
        for task in comparison.tasks:
            each = row["returns"][task.env]
            ends = " to ".join(map(format_value, each["interval"]))
            cells.append(f"{format_value(each['mean'])} ({ends})")
        lines.append(f"| {row['setting']} | {' | '.join(cells)} |")
    return lines


def coverage(found: Sequence[RunRecord]) -> str:
    """Return which runs there are, and what made them."""
    groups = curves.group_by_env(found)
    counts = [
        f"{env} {sum(map(len, each.values()))} runs of {len(each)} settings"
        for env, each in groups.items()
    ]
    versions = found[0].environment["versions"]
    made = ", ".join(f"{name} {versions[name]}" for name in VERSIONS)
    return f"{len(found)} runs with {made}: {'; '.join(counts)}.\n"


def summary(text: str) -> str:
    """Return a table of the scores at equal steps in all sections of `text`."""
    found: dict[str, dict[str, str]] = {}
    for name in FAMILIES:
        head = AXES["env_steps"][0]
        table = text.partition(f"## {name}\n")[2].partition(f"### {head}\n")[2]
        table = table.partition("\n![")[0]
        for setting, score in re.findall(
            r"^\| ([^|]+) \| \d+ \| (\S+) \|", table, flags=re.M
        ):
            found.setdefault(setting, {})[name] = score
    return "\n".join(_across(found))


def _across(found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the rows of `summary`, the best on average first."""

    def mean(row: Mapping[str, str]) -> float:
        return sum(map(float, row.values())) / len(row)

    ordered = sorted(found.items(), key=lambda item: -mean(item[1]))
    lines = [f"| setting | {' | '.join(FAMILIES)} | mean |", "|---" * 5 + "|"]
    for setting, row in ordered:
        cells = [row.get(name, "–") for name in FAMILIES]
        lines.append(f"| {setting} | {' | '.join(cells)} | {mean(row):.2f} |")
    return lines


def replace(text: str, name: str, body: str) -> str:
    """Return `text` with another section between the marks called `name`."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{body}\n{end}{after}"


def main() -> None:
    """Write the sections of `GENOTYPES.md` for which there are runs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    asked = parser.parse_args()
    found: dict[str, list[RunRecord]] = {}
    for path in asked.runs:
        if (path / "summary.json").exists() and (record := read_record(path)).summary:
            found.setdefault(family_of(record.config["env"]["name"]), []).append(record)
    file = HERE / "GENOTYPES.md"
    text = file.read_text(encoding="utf-8")
    for name, records in found.items():
        text = replace(text, name, family(name, records))
    text = replace(text, SUMMARY, summary(text) + "\n")
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

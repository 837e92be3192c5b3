"""Turn the runs of `genotypes.yaml` into `GENOTYPES.md` and its figures.

    neuroevo sweep benchmarks/genotypes.yaml --out runs/genotypes
    python benchmarks/genotypes.py runs/genotypes/*/

Every figure in the tables is read from the runs' own files, see `neuroevo compare`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from neuroevo.store.record import RunRecord, read_record
from neuroevo.studies import compare
from neuroevo.studies.compare import Comparison
from neuroevo.terminal.formatting import format_count, format_duration, format_value
from neuroevo.views import aggregates, curves

HERE = Path(__file__).parent
FIGURES = HERE.parent / "docs" / "figures"
VERSIONS = ("jax", "evosax", "gymnax", "brax")
BEGIN, END = "<!-- tables -->\n", "<!-- end of tables -->\n"
AXES = {
    "env_steps": ("At equal environment steps", "genotypes-steps.svg"),
    "cpu_seconds": ("In equal CPU time", "genotypes-time.svg"),
}


def section(found: Sequence[RunRecord], x: str) -> str:
    """Return the tables of one comparison, and draw its figure."""
    title, name = AXES[x]
    comparison = compare.compare(found, x)
    figure = FIGURES / name
    figure.unlink(missing_ok=True)
    aggregates.draw(comparison, figure)
    lines = [f"## {title}", "", *scores(comparison), ""]
    lines += [
        f"![Scores along the budget, and their distribution](../docs/figures/{name})"
    ]
    if comparison.left_out:
        lines += ["", f"Not complete yet: {', '.join(comparison.left_out)}."]
    return "\n".join([*lines, "", *returns(comparison), ""])


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


def main() -> None:
    """Write the tables between the marks of `GENOTYPES.md`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    asked = parser.parse_args()
    found = [
        record
        for path in asked.runs
        if (path / "summary.json").exists() and (record := read_record(path)).summary
    ]
    body = "\n".join([coverage(found), *(section(found, x) for x in AXES)])
    file = HERE / "GENOTYPES.md"
    before, _, rest = file.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    file.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()

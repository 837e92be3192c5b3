"""A page about a run that works offline."""

import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
from humanize import naturalsize

from neuroevo.config.yaml import to_yaml
from neuroevo.returns import known, known_ends
from neuroevo.solution import Solution
from neuroevo.store.archive_file import ArchiveFile
from neuroevo.store.directory import CONFIG
from neuroevo.store.record import RunRecord
from neuroevo.terminal.formatting import (
    format_amount,
    format_array,
    format_count,
    format_duration,
    format_range,
    format_value,
)
from neuroevo.views import (
    archives,
    curves,
    interactive,
    pages,
    pair_pictures,
    pairs,
    video,
)
from neuroevo.views.confusion import Confusion
from neuroevo.views.recording import Recording

Arrays = Mapping[str, Any]


def make_report(
    run: RunRecord,
    genome: Solution | Arrays | None,
    recording: Recording | None = None,
    note: str | None = None,
    confused: Confusion | None = None,
    archive: ArchiveFile | None = None,
) -> str:
    """Return a page about a run.

    Args:
        run: the record of the run.
        genome: its best genome, only its arrays if its parts are not available, or None
            to leave it out.
        recording: an episode of the genome, or None to leave it out.
        note: a message about what is missing on the page, and why.
        confused: which classes a policy confuses, or None to leave it out.
        archive: its elites, or None to leave them out.
    """
    return pages.render(
        "run.html",
        title=f"{curves.describe(run)}, seed {run.config.get('seed')}",
        run=run,
        note=note,
        numbers=_headline(run),
        curves=pages.plot(interactive.plot_run(run)),
        population=pages.plot(interactive.plot_population(run), height="360px"),
        archive=archive and pages.plot(archives.plot(archive), height="460px"),
        elites=archive and archives.map_of(archive).title,
        genome=_show_genome(genome),
        recording=recording,
        confused=confused,
        episode=recording and pages.data_uri(video.make_gif(recording), "gif"),
        config=to_yaml(run.config),
        environment=_flat(run.environment),
        commands=_commands(run, has_episodes=_has_episodes(genome)),
    )


def _headline(run: RunRecord) -> list[tuple[str, str, str]]:
    """Return the main results: a name, a value and a remark for each."""
    summary, last = run.summary, run.rows[-1]
    shown = [_measured(run, which) for which in ("best", "final")]
    if not any(shown):
        _, centers = curves.one(run, "center_return", "generation")
        if len(centers):
            value = format_value(centers[-1])
            shown.append(("held-out return", value, "of the latest center"))
    compiled = known(summary.get("compile_seconds"))
    compiling = f"including {format_duration(compiled)} to compile" if compiled else ""
    seconds = known(summary.get("seconds"))
    stopped = summary.get("stopped_by")
    shown += [
        (
            "generations",
            f"{last['generation']:,}",
            f"stopped by {stopped}" if stopped else "not finished",
        ),
        ("environment steps", format_count(last["env_steps"]), ""),
        ("time", format_duration(seconds or last["seconds"]), compiling),
    ]
    coverage, score = (known(last.get(key)) for key in ("coverage", "qd_score"))
    if coverage is not None:
        shown.append(("coverage", f"{100 * coverage:.1f} %", "of the archive's cells"))
    if score is not None:
        shown.append(("QD score", format_count(score), "sum of the elites' fitness"))
    if memory := known(summary.get("peak_memory_bytes")):
        shown.append(("peak memory", naturalsize(memory), ""))
    return [each for each in shown if each]


def _measured(run: RunRecord, which: str) -> tuple[str, str, str] | None:
    """Return the held-out return of a center in the final evaluation, if any."""
    get = run.summary.get
    if f"{which}_return_mean" not in run.summary:
        return None
    title = {"best": "return of the best center", "final": "return of the last center"}
    mean = known(get(f"{which}_return_mean"))
    if mean is None:
        return title[which], "not finite", "policies failed"
    remarks = []
    if (spread := known(get(f"{which}_return_std"))) is not None:
        remarks.append(f"± {format_value(spread)}")
    if ends := known_ends(get(f"{which}_return_interval")):
        remarks.append(f"95 % interval {format_range(ends)}")
    policies = get(f"{which}_return_per_policy")
    if isinstance(policies, list):
        remarks.append(format_amount(len(policies), "fresh policy"))
    generation = known(get("best_generation"))
    if which == "best" and generation is not None:
        remarks.append(f"generation {generation:,}")
    return title[which], format_value(mean), "; ".join(remarks)


def _flat(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return versions and other facts as rows of a table."""
    rows = []
    for key, value in environment.items():
        if key == "earlier" and isinstance(value, list):  # sessions before the last one
            words = (each.get("command", ()) for each in value)
            rows += [("earlier command", shlex.join(map(str, each))) for each in words]
        elif isinstance(value, Mapping):
            rows += [(name, str(v)) for name, v in value.items() if v is not None]
        elif isinstance(value, list):
            rows.append((key, shlex.join(map(str, value))))
        elif value is not None:
            rows.append((key.replace("_", " "), str(value)))
    return rows


def _has_episodes(genome: Solution | Arrays | None) -> bool:
    return not isinstance(genome, Solution) or genome.parts.task.record is not None


def _commands(run: RunRecord, has_episodes: bool) -> list[tuple[str, str]]:
    path = shlex.quote(str(run.path))
    generations = 2 * run.rows[-1]["generation"]
    commands = [
        (f"neuroevo train --config {path}/{CONFIG}", "repeat it"),
        (f"neuroevo evaluate {path} --policies 16", "measure it again"),
        (f"neuroevo resume {path} --generations {generations}", "continue it"),
    ]
    if has_episodes:
        commands.append((f"neuroevo render {path} --out episode.gif", "make a video"))
    return commands


def _show_genome(genome: Solution | Arrays | None) -> dict[str, Any] | None:
    """Return the pairs of a data set, or a summary of another genome's arrays."""
    if genome is None:
        return None
    if isinstance(genome, Mapping):
        arrays, found, drawn_for = genome, pairs.plain_pairs(genome), None
    else:
        arrays, found, drawn_for = genome.arrays(), pairs.read_pairs(genome), genome
    if found is not None:
        drawn = pair_pictures.draw_cards(found, drawn_for)
        cards = [
            {
                "number": card.number,
                "title": card.title,
                "text": "\n".join(card.lines),
                "picture": card.picture and pages.data_uri(card.picture, "png"),
            }
            for card in drawn.cards
        ]
        return {
            "cards": cards,
            "count": found.title,
            "caption": drawn.caption,
            "legend": drawn.legend,
        }
    rows = []
    for name, array in arrays.items():
        shape, *summary = format_array(array)
        rows.append((name, shape, summary))
    count = sum(np.size(array) for array in arrays.values())
    return {"cards": None, "arrays": rows, "numbers": format_amount(count, "number")}

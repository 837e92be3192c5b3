"""What a run shows of its progress, in a terminal and elsewhere."""

import io
import math
import re
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console
from terminals import console, narrow, text, written

from neuroevo.cli import main as cli
from neuroevo.run.events import Header, Silent
from neuroevo.terminal.ascii import tolerate
from neuroevo.terminal.display import make_display, make_line
from neuroevo.terminal.formatting import (
    format_value,
)
from neuroevo.terminal.live import LiveDisplay
from neuroevo.terminal.plain import LineDisplay, PlainDisplay
from neuroevo.terminal.tracker import Series, Tracker

ESCAPE = "\x1b"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def header(**changes):
    facts = dict(
        env="CartPole-v1",
        encoding="dataset",
        strategy="SNES",
        population=64,
        policies=4,
        episodes=2,
        genome_size=10,
        parameters=4610,
        devices="2 x cpu",
        run_dir="runs/CartPole-v1-dataset-SNES-s0",
        generations=300,
    )
    return Header(**(facts | changes))


def row(generation, center=None, fitness=0.0, seconds=None, **more):
    result = dict(
        generation=generation,
        env_steps=1000 * generation,
        seconds=0.1 * generation + 5 if seconds is None else seconds,
        fitness_mean=fitness,
        fitness_std=1.0,
        fitness_max=fitness + 10,
    )
    return result | ({} if center is None else {"center_return": center}) | more


# History and progress


def test_series_stays_bounded_and_keeps_its_shape():
    series = Series(capacity=64)
    for value in range(20_001):
        series.add(float(value))
        assert len(series.values) <= 65
    assert series.values == sorted(series.values)
    assert len(series.values) > 30
    assert abs(series.values[0]) < 20_000 / 30


def test_series_of_rare_values_averages_only_what_is_there():
    series = Series(capacity=8)
    for generation in range(1000):
        series.add(-5.0 if generation % 10 == 0 else None)
    assert {v for v in series.values if math.isfinite(v)} == {-5.0}
    assert series.peak == -5.0


def feed(tracker, generations, duration=0.1):
    for g in generations:
        tracker.update([row(g, seconds=60 + duration * g)])


def test_time_left_leaves_out_the_compilation():
    tracker = Tracker(header(generations=300))
    feed(tracker, range(1, 101))
    progress = tracker.limit(70.0)
    assert progress.label == "generation 100 / 300"
    assert progress.fraction == pytest.approx(1 / 3)
    assert progress.seconds_left == pytest.approx(20)
    assert tracker.limit(72.0).seconds_left == pytest.approx(18)
    assert tracker.steps_per_second == pytest.approx(10_000)
    assert tracker.seconds_per_generation == pytest.approx(0.1)


def test_time_left_follows_a_change_of_pace():
    tracker = Tracker(header(generations=1000))
    feed(tracker, range(1, 100), duration=0.1)
    start = tracker.row["seconds"]
    for g in range(100, 200):
        tracker.update([row(g, seconds=start + 2.0 * (g - 99))])
    assert tracker.seconds_per_generation == pytest.approx(2.0, rel=0.05)


def test_the_first_limit_to_be_reached_is_shown():
    limits = dict(generations=1_000_000, max_env_steps=200_000, max_seconds=3600)
    tracker = Tracker(header(**limits))
    feed(tracker, range(1, 101))
    assert tracker.limit(70.0).label == "env steps 100k / 200k"
    tracker = Tracker(header(**limits | {"max_seconds": 75}))
    feed(tracker, range(1, 101))
    assert tracker.limit(70.0).label == "time 1 min 10 s / 1 min 15 s"
    assert tracker.limit(70.0).seconds_left == pytest.approx(5)


def test_no_rate_or_no_limit_means_no_time_left():
    tracker = Tracker(header())
    assert tracker.limit(0.0).seconds_left is None
    tracker.update([row(1)])
    assert tracker.limit(6.0).seconds_left is None
    tracker = Tracker(header(generations=None, target=495.0))
    feed(tracker, range(1, 5))
    assert tracker.limit(61.0) is None


@pytest.mark.parametrize(
    ("centers", "collapsed"),
    [
        ([20, 500, 490, 300, 310], False),
        ([20, 500, 490, 200], False),  # once may be bad luck
        ([20, 500, 490, 200, 210], True),
        ([20, 500, 200, 210, 450], False),  # recovered
        ([-1200, -150, -900, -800], True),
        ([-1200, -150, -300, -310], False),
        ([-200, -200, -200, -200], False),
        ([0, 0.4, 0.0, 0.0], False),  # within the population's spread
        ([math.nan, math.nan], False),
    ],
)
def test_collapse_hint(centers, collapsed):
    tracker = Tracker(header())
    for generation, center in enumerate(centers, 1):
        tracker.update([row(generation, center), row(generation + 0.5)])
    assert bool(tracker.collapse) is collapsed


def test_a_restart_is_no_collapse():
    tracker = Tracker(header())
    for generation, center in enumerate([20, 500, 490, 40, 50, 45], 1):
        tracker.update([row(generation, center, attempt=int(generation > 3))])
    assert not tracker.collapse
    tracker.update([row(7, 490, attempt=1), row(8, 40, attempt=1)])
    tracker.update([row(9, 41, attempt=1)])
    assert tracker.collapse


# Displays


def test_plain_display_is_chosen_without_a_terminal():
    assert isinstance(make_display(header(), console=console()), LiveDisplay)
    plain = [
        make_display(header(), console=console(terminal=False)),
        make_display(header(), quiet=True, console=console()),
        make_display(header(), console=console(TERM="dumb")),
    ]
    assert {type(display) for display in plain} == {PlainDisplay}


def test_a_pipe_gets_plain_lines_even_with_forced_color(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with make_display(header()) as display:
        display.update([row(1, 20.0)])
    out, err = capsys.readouterr()
    assert out == ""
    assert "generation 1/300" in err and ESCAPE not in err


def test_plain_lines_are_rare_and_without_escapes():
    clock, stream = Clock(), console(terminal=False, width=40)
    with PlainDisplay(header(), stream.file, clock=clock) as display:
        display.compiling("a generation")
        for generation in range(1, 251):
            clock.now += 0.1
            center = 2.0 * generation if generation % 5 == 0 else None
            display.update([row(generation, center, fitness=generation)])
        display.warn("the disk is almost full")
    lines = text(stream).splitlines()
    assert ESCAPE not in text(stream)
    assert [line for line in lines if line.startswith("generation")][-1] == (
        "generation 250/300  center 500.0  5 s left  fitness mean 250.0 max 260.0"
        "  30 s elapsed  env steps 250k  10k steps/s"
    )
    assert sum(line.startswith("generation") for line in lines) == 4  # 0, 10, 20, end
    assert "warning: the disk is almost full" in lines


def test_a_long_generation_shows_how_far_it_is():
    """Plain lines say so every ten seconds; those of a quick one say nothing."""
    clock, stream = Clock(), console(terminal=False)
    with PlainDisplay(header(), stream.file, clock=clock) as display:
        for seconds in (25, 9):
            for second in range(seconds):
                display.progress(second / seconds)
                clock.now += 1
            display.update([row(1)])
    found = re.findall("generation .*", text(stream))
    assert [line.split("  ")[0] for line in found] == [
        "generation 1/300: 102 of 256 policies",
        "generation 1/300: 204 of 256 policies",
        "generation 1/300",
        "generation 1/300",
    ]
    display = LiveDisplay(header(), console(60), clock=clock)
    line = LineDisplay(header(), io.StringIO(), clock=clock)
    for shown in (display, line):
        shown.compiling("the generation")
        shown.progress(0.5)
    rest = Console(width=60, file=io.StringIO(), force_terminal=False)
    rest.print(display)
    assert "generation 1/300: 128 of 256 policies" in text(rest)
    assert "compiling" not in text(rest)
    assert line._stream.getvalue().rstrip().endswith("128 of 256 policies")
    display.update([row(1)])
    rest.print(display)
    assert "of 256 policies" not in text(rest).split("generation 1")[-1]


def test_a_resumed_run_shows_the_generation_that_it_is_in():
    stream = console(terminal=False)
    with PlainDisplay(header(completed=59), stream.file, clock=Clock()) as display:
        for second in range(25):
            display._clock.now = second
            display.progress(second / 25)
    assert "generation 60/300: " in text(stream)


def test_quiet_keeps_progress_and_warnings_only():
    stream = console()
    with make_display(header(), quiet=True, console=stream) as display:
        display.compiling("a generation")
        display.warn("disk almost full")
        display.update([row(1)])
    assert ESCAPE not in text(stream)
    head, warning, progress = text(stream).splitlines()
    assert head.startswith("neuroevo: CartPole-v1")
    assert warning == "warning: disk almost full"
    assert progress.startswith("generation 1/300")


def test_plain_display_mentions_a_collapse_once():
    stream = console(terminal=False)
    with PlainDisplay(header(), stream.file) as display:
        for generation, center in enumerate([20, 500, 100, 90, 80, 70], 1):
            display.update([row(generation, center)])
    assert text(stream).count("the center fell from 500.0 to 90.0") == 1


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("sign", [1, -1])
def test_live_frame_fits_the_terminal(width, sign):
    stream = console(width)
    display = LiveDisplay(header(target=495.0), stream, clock=Clock())
    frames = []

    def frame():
        with stream.capture() as captured:
            stream.print(display)
        frames.append(captured.get())

    display.compiling("a generation")
    frame()
    for generation in range(1, 200):
        center = sign * generation if generation % 3 == 0 else None
        display.update([row(generation, center, fitness=sign * generation, failures=1)])
    frame()
    plain = Console(width=width, file=io.StringIO(), force_terminal=False)
    plain.print(display)
    lines = text(plain).splitlines()
    assert all(len(line) == width for line in lines)
    shown = "\n".join(lines)
    assert "compiling" in frames[0] and "compiling" not in shown
    for part in ("CartPole-v1", "generation 199 / 300", "10 s left", "center", "█"):
        assert part in shown
    assert format_value(sign * 198.0) in shown
    assert "199 candidates" in shown


def test_live_display_leaves_a_final_frame_and_no_stdout(capsys):
    stream = console(100)
    with make_display(header(run_dir="runs/[bold]x"), console=stream) as display:
        display.update([row(1, 20.0), row(2)])
        display.warn("[red]odd[/red]")
        sys.stderr.write("")
    assert "done" in text(stream) and "runs/[bold]x" in text(stream)
    assert "[red]odd[/red]" in text(stream)
    assert capsys.readouterr().out == ""


def test_live_display_says_when_it_was_interrupted():
    stream = console(100)
    with pytest.raises(KeyboardInterrupt):
        with make_display(header(), console=stream) as display:
            display.update([row(1)])
            raise KeyboardInterrupt
    assert "interrupted" in text(stream)


def test_one_line_is_written_anew():
    clock, stream = Clock(), io.StringIO()
    with LineDisplay(header(), stream, width=40, clock=clock) as display:
        display.compiling("the generation")
        for generation in range(1, 101):
            clock.now += 0.1
            display.update([row(generation, 5.0 * generation)])
        display.warn("the disk is almost full")
    *shown, last, rest = re.split("[\r\n]", stream.getvalue())
    assert last.rstrip() == "generation 100/300  center 500.0" and rest == ""
    assert shown[1] == "CartPole-v1, dataset, SNES: starting …"
    assert "compiling the generation …" in {line.rstrip() for line in shown}
    assert (
        15 < sum(line.startswith("generation") for line in shown) < 25
    )  # two a second
    assert stream.getvalue().count("\n") == 2
    assert "warning: the disk is almost full" in shown
    assert "checkpoint" not in stream.getvalue()
    assert all(len(line) <= 40 for line in shown)


def test_in_python_a_line_is_for_people_only(monkeypatch, capsys):
    assert isinstance(make_line(header()), Silent)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert isinstance(make_line(header()), LineDisplay)
    monkeypatch.undo()
    shell = SimpleNamespace(kernel=None)
    notebook = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    assert isinstance(make_line(header()), LineDisplay)
    del shell.kernel  # a console: its stderr was no terminal
    assert isinstance(make_line(header()), Silent)


# Encodings


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("display", ["live", "plain", "line"])
def test_a_run_is_shown_without_unicode(display, encoding):
    stream = narrow(encoding)
    made = {
        "live": lambda head: make_display(head, console=stream),
        "plain": lambda head: make_display(head, quiet=True, console=stream),
        "line": lambda head: LineDisplay(head, stream.file),
    }[display](header(run_dir="runs/ü"))
    with made as shown:
        shown.compiling("the generation")
        for generation, center in enumerate([20, 500, 100, 90, 80, 70], 1):
            shown.update([row(generation, center, failures=1, fitness=math.nan)])
        shown.warn("a generation × 2 …")
    found = written(stream)
    assert found.isascii() and "a generation x 2 ..." in found
    assert isinstance(made, LiveDisplay) == (display == "live")
    if display != "line":
        assert "64 candidates x 4 policies x 2 episodes" in found
        assert r"runs/\xfc" in found


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_a_stream_takes_any_text(encoding):
    """Surrogates stand for bytes in file names that are no UTF-8."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding, write_through=True)
    tolerate(stream)
    print("1 ± 2 → ü \udcfc ▁█ 文", file=stream)
    shown = stream.buffer.getvalue().decode(encoding)
    assert "1 " in shown and "\\udcfc" in shown
    assert encoding == "utf-8" or "\\u6587" in shown


COMMANDS = ["", "--version", "completion bash", "train --help", "transfer --help"]
COMMANDS += [f"list {kind}" for kind in ("encodings", "envs", "strategies", "policies")]
COMMANDS += ["list presets", "list loggers", "list zoo", "list zoo:cartpole-d2"]
COMMANDS += ["inspect zoo:cartpole-d2", "inspect zoo:freeway-d3", "evaluate ü.npz"]
COMMANDS += ["train --env ü", "report ü", "inspect ‘…’", "train --seed ½", "ü"]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_writes_ascii_where_there_is_no_more(line, monkeypatch):
    """In this process: streams as PYTHONIOENCODING=ascii makes them."""
    out, err = (
        io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True) for _ in range(2)
    )
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with pytest.raises(SystemExit) as ended:
        cli.main(line.split())
    assert ended.value.code in (0, 2)
    shown = (err if ended.value.code else out).buffer.getvalue().decode("ascii")
    assert shown and "Traceback" not in shown


def test_an_ascii_panel_is_in_line():
    stream = narrow(width=60)
    display = LiveDisplay(header(), stream, clock=Clock())
    display.update([row(g, 3.0 * g, fitness=2.0 * g) for g in range(1, 50)])
    stream.print(display)
    lines = written(stream).splitlines()
    assert {len(line) for line in lines} == {60}
    assert {line[0] for line in lines} <= {"+", "|"} and "#" in "".join(lines)


def test_no_color_is_respected():
    stream = console(100, NO_COLOR="1")
    with make_display(header(), console=stream) as display:
        display.update([row(1, 20.0)])
    assert "\x1b[3" not in text(stream).replace("\x1b[39m", "")

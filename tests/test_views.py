"""What runs and genomes look like: reports, pictures, videos and plots."""

import io
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import neuroevo
from neuroevo.cli import main as cli
from neuroevo.store import genome_file
from neuroevo.store.directory import BEST, CONFIG, SUMMARY
from neuroevo.store.metrics import METRICS
from neuroevo.store.record import read_record
from neuroevo.views import (
    comparison,
    curves,
    names,
    pairs,
    recording,
    report,
    video,
)

TINY = {
    "env": {"name": "CartPole-v1", "max_steps_in_episode": 30},
    "encoding": {"name": "dataset", "steps": 2},
    "policy": {"name": "mlp", "hidden": [4]},
    "population": 4,
    "generations": 6,
    "center_every": 2,
    "center_policies": 1,
    "final_policies": 2,
    "final_episodes": 1,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The directory of a run of CartPole."""
    path = tmp_path_factory.mktemp("views") / "run"
    neuroevo.evolve(**TINY, run_dir=path)
    return path


@pytest.fixture(scope="module")
def others(run):
    """Runs made of `run`: of another seed, one that goes on, one of another setting."""
    found = []
    for name, change, rows in (
        ("seed", "seed: 0", 6),
        ("short", "seed: 0", 4),
        ("wide", "population: 4", 6),
    ):
        path = run.with_name(name)
        shutil.copytree(run, path)
        text = (path / CONFIG).read_text()
        assert f"\n{change}\n" in text
        key = change.partition(":")[0]
        (path / CONFIG).write_text(text.replace(f"\n{change}\n", f"\n{key}: 9\n"))
        lines = (path / METRICS).read_text().splitlines(keepends=True)
        (path / METRICS).write_text("".join(lines[:rows]))
        found.append(path)
    for name in (SUMMARY, BEST):
        (run.with_name("short") / name).unlink()
    return found


@pytest.fixture
def run_cli(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(line):
        with pytest.raises(SystemExit) as ended:
            cli.main(shlex.split(line))
        return ended.value.code, *capsys.readouterr()

    return run


TRAIN = """
import sys
from neuroevo.cli import main as cli
from neuroevo.run import loop

unused = {*sys.argv.pop().split(",")}

def train(*_, **__):
    print(unused & {*sys.modules})
    sys.exit(0)

loop.train = train
cli.main(sys.argv[1:])
"""


def test_to_begin_training_imports_nothing_to_show_it_with(environment, tmp_path):
    """An environment of our own: gymnax imports matplotlib itself."""
    unused = ["plotly", "jinja2", "matplotlib", "PIL", "neuroevo.views.pages"]
    unused += ["tensorboardX", "wandb", "mlflow", "submitit", "mkdocs"]
    unused += ["pandas", "pyarrow", "neuroevo.studies.sweep"]
    trained = subprocess.run(
        [sys.executable, "-c", TRAIN, "train", "--env", "toy", ",".join(unused)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (trained.stdout, trained.returncode) == ("set()\n", 0), trained.stderr


# -------------------------------------------------------------------------- data sets


def test_pairs_are_sorted_and_in_the_units_of_the_environment(run):
    solution = neuroevo.load(run)
    found = pairs.read_pairs(solution)
    assert found.targets["labels"].tolist() == [0, 1]
    np.testing.assert_allclose(found.observations, found.states)
    statistics = {"obs_mean": np.float32(3), "obs_var": np.float32(4)}
    constant = neuroevo.load(run, normalization="constant").config
    states = pairs.denormalize(found.states, statistics, constant)
    np.testing.assert_allclose(states, 2 * found.states + 3)
    unknown = neuroevo.load(run, normalization="episode").config
    assert pairs.denormalize(found.states, {}, unknown) is None


def test_inspect(run_cli, run):
    code, out, _ = run_cli(f"inspect {run} --picture pairs.png")
    assert code == 0
    for text in ("2 state-action pairs", "position", "left", "right"):
        assert text in out
    assert Image.open("pairs.png").size[0] > 400
    code, _, err = run_cli(f"inspect {run} --picture pairs.png")
    assert code == 2 and "already exists" in err
    code, _, err = run_cli(f"inspect {run} --picture pairs.pgn")
    assert code == 2 and "did you mean '.png'?" in err


def test_inspect_shows_learned_learning_rates(run_cli, run, tmp_path):
    solution = neuroevo.load(run)
    arrays = {**solution.arrays(), "log_rate": np.log(2.5), "log_rates/output": 0.0}
    path = tmp_path / "rates.npz"
    meta = {**solution.meta()}
    meta["policy"] = meta["policy"] | {"hidden": []}
    genome_file.save(path, arrays, meta)
    code, out, err = run_cli(f"inspect {path}")
    assert code == 0, err
    assert "learning rate × 2.5\n" in out and "learning rate of output × 1\n" in out


def test_inspect_a_genome_that_is_no_data_set(run_cli, run):
    run_cli(f"train-policy {run} --out policy.npz")
    code, out, _ = run_cli("inspect policy.npz")
    assert code == 0 and "hidden_0/kernel" in out and "4 × 4" in out
    code, _, err = run_cli("inspect policy.npz --picture x.png")
    assert code == 2 and "expected a data set" in err and err.count("\n") == 1


# ----------------------------------------------------------------------------- videos


def test_a_recording_is_an_episode_of_the_policy(run):
    solution = neuroevo.load(run)
    recorded = recording.record(solution, seed=3, policies=3, frames=7)
    assert recorded.result == sorted(recorded.results)[1] and len(recorded.shown) <= 7
    assert recorded.result == recorded.length == recorded.trajectory.rewards.sum()
    (again,) = solution.record(recorded.seed)
    kept = recorded.trajectory.numbers
    np.testing.assert_array_equal(again.actions[kept], recorded.trajectory.actions)
    assert kept[recorded.shown[-1]] == recorded.length - 1 and len(kept) <= 15
    gif = Image.open(io.BytesIO(video.make_gif(recorded, fps=10)))
    assert gif.n_frames == len(recorded.shown) and gif.size == (480, 320)
    assert gif.info["duration"] == 100


def test_render(run_cli, run, monkeypatch):
    code, out, _ = run_cli(f"render {run} --policies 1 --frames 3")
    assert code == 0 and re.match(r"CartPole-v1.gif: return \d+", out)
    assert Image.open("CartPole-v1.gif").n_frames <= 3
    code, _, err = run_cli(f"render {run} --out x.html")
    assert code == 2 and "expected .gif or .mp4" in err
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    code, _, err = run_cli(f"render {run} --out x.mp4")
    assert code == 2 and "pip install 'neuroevo[video]'" in err


@pytest.mark.filterwarnings("ignore:os.fork")  # as the test itself runs ffmpeg, too
def test_render_mp4(run_cli, run, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    code, _, _ = run_cli(f"render {run} --out x.mp4 --policies 1 --frames 3")
    assert code == 0
    facts = next(ffmpeg.read_frames(str(tmp_path / "x.mp4")))
    assert facts["size"] == (480, 320) and facts["fps"] == 25


@pytest.mark.slow
def test_render_bodies(run_cli):
    options = "--policies 1 --frames 4 --env.episode-length 20"
    code, _, _ = run_cli(f"render zoo:hopper-d4 {options} --out x.gif")
    assert code == 0 and Image.open("x.gif").n_frames == 4
    code, _, _ = run_cli(f"render zoo:hopper-d4 {options} --out x.html")
    html = open("x.html").read()
    assert code == 0 and html.count('"mesh3d"') >= 4 and "<script src" not in html
    code, _, err = run_cli(
        f"render zoo:hopper-d4 {options} --out y.gif --renderer mujoco"
    )
    assert code == 0 or (code == 2 and "neither EGL nor" in err)


# ---------------------------------------------------------------------------- curves


def test_runs_of_one_setting_are_taken_together(run, others):
    found = [read_record(path) for path in (run, *others)]
    groups = curves.group(found)
    assert {k: [r.name for r in v] for k, v in groups.items()} == {
        "CartPole-v1, dataset, SNES, population 4": ["run", "seed", "short"],
        "CartPole-v1, dataset, SNES, population 9": ["wide"],
    }
    together = next(iter(groups.values()))
    curve = curves.several(together, "fitness_mean", "generation")
    expected = [row["fitness_mean"] for row in found[0].rows[:4]]  # of the shortest
    np.testing.assert_allclose(curve.mean, expected)
    np.testing.assert_allclose(curve.low, curve.high)
    x, y = curves.one(found[0], "center_return", "env_steps")
    measured = [r for r in found[0].rows if r["center_return"] is not None]
    assert len(x) == len(y) == len(measured) > 1


@pytest.mark.parametrize("x", names.AXES)
def test_the_mean_of_runs_lies_in_its_band(run, x):
    one = read_record(run)
    rows = [row | {"fitness_mean": 2.0 * row["fitness_mean"]} for row in one.rows]
    curve = curves.several([one, one._replace(rows=rows)], "fitness_mean", x)
    np.testing.assert_allclose(curve.mean, 1.5 * curve.low)
    np.testing.assert_allclose(curve.high, 2 * curve.low)
    assert (np.diff(curve.x) > 0).all()


def test_plot(run_cli, run, others):
    paths = " ".join(map(str, (run, *others)))
    for name, begins in (
        ("x.png", b"\x89PNG"),
        ("x.svg", b"<?xml"),
        ("x.pdf", b"%PDF"),
    ):
        assert run_cli(f"plot {paths} --out {name} --x seconds")[0] == 0
        assert open(name, "rb").read().startswith(begins)
        again = f"again-{name}"  # the same file: it can be under version control
        assert run_cli(f"plot {paths} --out {again} --x seconds")[0] == 0
        assert open(again, "rb").read() == open(name, "rb").read()
    assert run_cli(f"plot {run} --out one.svg")[0] == 0
    assert "center, held out" in open("one.svg").read()
    code, _, err = run_cli(f"plot {run} {run}/. --out again.svg")
    assert code == 0 and "the same run as" in err
    assert "center, held out" in open("again.svg").read()  # as for a single run
    code, _, err = run_cli(f"plot {run} nowhere --out y.png")
    assert code == 2 and "nowhere" in err
    assert run_cli("plot --out y.png")[0] == 2


@pytest.mark.parametrize("home", ["/dev/null", None])
def test_without_a_home_matplotlib_says_nothing(home, run, tmp_path):
    """It takes a temporary folder, which goes when the process ends."""
    unset = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR")
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    environment |= {"TMPDIR": str(tmp_path)} | ({"HOME": home} if home else {})
    nameless = "import pwd; pwd.getpwuid = {}.__getitem__"
    code = f"{nameless}; from neuroevo.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "plot", run, "--out", tmp_path / "x.png"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [file.name for file in tmp_path.iterdir()] == ["x.png"]


# ---------------------------------------------------------------------------- reports


@pytest.fixture(scope="module")
def pages(run, others):
    """A report of a run, and one that compares runs."""
    solution = neuroevo.load(run)
    recorded = recording.record(solution, policies=1, frames=3)
    one, two = run.with_name("one.html"), run.with_name("two.html")
    one.write_text(report.make_report(read_record(run), solution, recorded))
    found = [read_record(path) for path in (run, *others)]
    two.write_text(comparison.make_comparison(found))
    return one, two


def test_a_report_says_what_the_run_found(run, pages):
    html = pages[0].read_text()
    summary = json.loads((run / SUMMARY).read_text())
    assert f"<dd>{summary['final_return_mean']:.1f}" in html
    assert "data:image/gif;base64," in html and "data:image/png;base64," in html
    assert "max_steps_in_episode: 30" in html
    assert f"neuroevo train --config {run}/config.yaml" in html


def test_a_report_of_a_resumed_run_says_how_it_began(run):
    record = read_record(run)
    began = record.environment | {"command": ["neuroevo", "train", "--seed", "7"]}
    record.environment["earlier"] = [began]
    rows = report._flat(record.environment)
    assert ("earlier command", "neuroevo train --seed 7") in rows
    assert [name for name, _ in rows].count("jax") == 1


def test_report(run_cli, run, others):
    for path in others[:2]:
        code, out, _ = run_cli(f"report {path} --no-episode")
        assert code == 0 and out.strip() == f"{path}/report.html"
    assert run_cli(f"report {run} {others[0]} --out two.html")[0] == 0
    code, _, err = run_cli(f"report {run} --out two.html")
    assert code == 2 and "already exists" in err
    code, _, err = run_cli(f"report {run} --out two.htm")
    assert code == 2 and "ends in .html; did you mean '.html'?" in err
    with (others[1] / METRICS).open("a") as file:
        file.write('{"generation": 5, "env_steps": "many"}\n')
    assert len(read_record(others[1]).rows) == 4
    (others[1] / SUMMARY).write_text("{")
    code, _, err = run_cli(f"report {others[1]}")
    assert code == 2 and "summary.json: not a readable JSON file" in err
    (others[1] / SUMMARY).unlink()
    code, _, err = run_cli("report nowhere")
    assert code == 2 and err.count("\n") == 1


def without(summary, key, null):
    """A summary as a failed run leaves it."""
    return {k: v for k, v in summary.items() if k != key} | (
        {} if null is ... else {key: null}
    )


@pytest.mark.parametrize("null", [None, math.nan, ...])
def test_reports_of_failed_runs(run, null):
    """Whatever a summary lacks, the pages are written, and say nothing of nan."""
    whole = read_record(run)
    numbers = [k for k, v in whole.summary.items() if not isinstance(v, str)]
    broken = whole.summary
    for key in numbers:
        broken = without(broken, key, null)
    rows = [row | {"fitness_mean": None, "fitness_std": None} for row in whole.rows]
    failed = whole._replace(summary=broken, rows=rows)
    for key in numbers:
        one = whole._replace(summary=without(whole.summary, key, null))
        assert report._headline(one) and comparison._describe(one, "")
        assert comparison._summarize("", [whole, one])
    lines = [
        report.make_report(failed, None),
        comparison.make_comparison([failed, whole]),
        comparison.make_comparison([failed]),
    ]
    for html in lines:
        text = re.sub("(?s)<(script|style).*?</\\1>", "", html)
        assert not re.search(r"\bnan\b|\bNone\b", text)
    if null is None:
        assert "not finite" in lines[0]


def test_a_genome_without_its_environment_is_shown_as_far_as_it_is_known(run):
    arrays = neuroevo.load(run).arrays()
    html = report.make_report(read_record(run), arrays, note="no pictures")
    assert html.count("<figcaption>") == 2 and "no pictures" in html
    assert html.count('<img src="data:image/png') == 0 and "s0 " in html


@pytest.fixture(scope="module")
def homemade(run):
    """The run, as it would be with an environment made in Python."""
    path = run.with_name("homemade")
    shutil.copytree(run, path)
    text = (path / CONFIG).read_text()
    (path / CONFIG).write_text(text.replace("name: CartPole-v1", "name: Environment"))
    file = genome_file.load(path / BEST)
    (path / BEST).unlink()
    meta = {**file.meta, "env": {"name": "Environment"}}
    genome_file.save(path / BEST, file.arrays, meta)
    return path


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("report {}", "report.html"),
        ("inspect {}", "2 state-action pairs"),
        ("plot {} --out x.png", "x.png"),
        ("metrics {}", "fitness_mean"),
    ],
)
def test_what_needs_no_environment_comes_anyway(command, shown, homemade, run_cli):
    code, out, err = run_cli(command.format(homemade))
    assert code == 0 and shown in out
    assert err.count("\n") <= 1 and (not err or "neuroevo.load(" in err)


@pytest.mark.parametrize(
    "command", ["evaluate {}", "render {}", "inspect {} --picture p.png"]
)
def test_what_needs_the_environment_says_how_to_give_it(command, homemade, run_cli):
    code, out, err = run_cli(command.format(homemade))
    assert code == 2 and not out and err.count("\n") == 1
    assert "made in Python" in err and "neuroevo.load(" in err and "env=" in err


def test_pages_fit_a_phone(pages):
    """Nothing has a width of its own but what scrolls: see the test in a browser."""
    for page in pages:
        html = page.read_text()
        style = re.search("(?s)<style>(.*?)</style>", html)[1]
        assert 'name="viewport" content="width=device-width' in html
        assert "img { max-width: 100%" in style
        assert re.search(r"code[^{]*{ overflow-wrap: anywhere", style)
        assert re.search(r"\npre {[^}]*pre-wrap", style)
        assert not re.search(r"{[^}]*min-width: [1-9]", style)
        for table in re.finditer("<table", html):
            assert html[: table.start()].endswith('<div class="wide">')
    one, two = (page.read_text() for page in pages)
    assert "@media (max-width" in two and two.count('class="rows"') == 2
    assert two.count("<td") == two.count('data-title="') > 10
    pictures = re.findall('(?s)<figure>.*?<img src="data:image/png', one)
    assert len(pictures) == 2 and "repeat(auto-fill" in one


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PROBE = """<script>addEventListener("load", () => setTimeout(() => parent.postMessage([
Math.max(...["html", ".wide"].flatMap(each => [...document.querySelectorAll(each)])
.map(each => each.scrollWidth - each.clientWidth)),
document.querySelectorAll(".main-svg").length], "*"), 1000))</script>"""
FRAME = """<title>none</title>
<iframe src="page.html" style="width: {}px; height: 900px"></iframe><script>
addEventListener("message", event => document.title = event.data)</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open a page with")
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("which", [0, 1])
def test_a_report_in_a_browser(pages, which, width, tmp_path):
    """Nothing fails, nothing sticks out or scrolls sideways, and plots are drawn.

    To fetch something would fail: the page's own policy forbids it.
    """
    html = pages[which].read_text().replace("<details>", "<details open>")
    (tmp_path / "page.html").write_text(html + PROBE)
    (tmp_path / "frame.html").write_text(FRAME.format(width))
    shown = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        + ["--disable-background-networking", "--window-size=1400,1000"]
        + [f"--user-data-dir={tmp_path / 'profile'}"]
        + ["--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom"]
        + [f"file://{tmp_path / 'frame.html'}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in shown.stderr
    title = re.search("<title>(.*)</title>", shown.stdout)[1]
    wider, plots = map(int, title.split(","))
    assert wider <= 0 and plots >= 1

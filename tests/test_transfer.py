"""Transfer: what it measures is what each configuration on its own achieves."""

import dataclasses
import itertools
import json
import os
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy
from PIL import Image

import neuroevo
from genomes.dataset import Dataset
from neuroevo import solution
from neuroevo import spaces as padding
from neuroevo.cli import main as cli
from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.core import keys
from neuroevo.core.acting import act_with
from neuroevo.policies.imitation import cosine, linear
from neuroevo.policies.networks import MLP, flexible
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.store import genome_file
from neuroevo.studies import transfer as transferring
from neuroevo.tasks.task import evaluate
from neuroevo.views import figures, heat_map

OPTIONS = {
    "env": {"name": "CartPole-v1", "max_steps_in_episode": 20},
    "encoding": {"name": "dataset", "steps": 6, "learning_rate": 0.05},
    "policy": {"name": "mlp", "hidden": [6], "kernel_init": "lecun"},
}
RNG = np.random.default_rng(0)
PAIRS = {"states": RNG.normal(size=(2, 4)), "labels": np.array([1, 0])}
WIDE = {"states": RNG.normal(size=(3, 6)), "labels": np.arange(3)}
SPEC = {"spec": {"observation": [6], "action": {"discrete": 3}}}


def write_genome(path, arrays=PAIRS, options=OPTIONS, **meta):
    resolved = resolve.resolve([Layer("test", options)]).to_dict()
    parts = ("env", "encoding", "policy", "normalization")
    genome_file.save(path, arrays, {part: resolved[part] for part in parts} | meta)
    return path


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return write_genome(tmp_path_factory.mktemp("transfer") / "g.npz")


@pytest.fixture
def run_cli(genome, tmp_path, monkeypatch, capsys):
    """Run a command line beside the genome g.npz; return code, stdout and stderr."""
    (tmp_path / "g.npz").write_bytes(genome.read_bytes())
    monkeypatch.chdir(tmp_path)

    def run(line):
        with pytest.raises(SystemExit) as ended:
            cli.main(shlex.split(line))
        return ended.value.code, *capsys.readouterr()

    return run


# ------------------------------------------------------------------------- the pieces


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "silu", "elu"])
@pytest.mark.parametrize(
    ("action", "size"), [(Discrete(3), 1), (Box((2,)), 1), (Box((2,)), 3)]
)
def test_a_padded_policy_acts_like_itself(activation, action, size):
    spec = Spec((5,), action)
    activations = ("relu", activation, "tanh")
    options = MLP(hidden=(7, 7), kernel_init="lecun", ensemble=size)
    narrow = dataclasses.replace(options, activation=activation).build(spec)
    options = dataclasses.replace(options, hidden=(16, 16))
    wide = flexible(options, activations, spec)
    params = jax.tree.map(lambda x: x + 0.1, narrow.init(jax.random.key(0)))
    like = jax.eval_shape(wide.init, jax.random.key(0))
    to = {name: like[name] for name in params}
    padded = jax.tree.map(lambda x, to: padding.pad(x, to.shape), params, to)
    for name, value in {
        "activation": activations.index(activation),
        "depth": 2,
    }.items():
        padded[name] = jnp.full(like[name].shape, value, jnp.float32)
    for seed in range(5):
        observation = jax.random.normal(jax.random.key(seed), (5,))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
            wide.apply(padded, observation),
            narrow.apply(params, observation),
        )


def test_schedules_are_those_of_optax():
    count = jnp.arange(13)
    for factor, schedule in (
        (linear, optax.linear_schedule(0.3, 0.0, 12)),
        (cosine, optax.cosine_decay_schedule(0.3, 12)),
    ):
        expected = jax.vmap(schedule)(count)
        np.testing.assert_allclose(0.3 * factor(count / 12), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [("adam", "constant"), ("momentum", "linear"), ("sgd", "cosine")],
)
def test_one_program_trains_with_all_rates_and_numbers_of_steps(optimizer, schedule):
    """The numbers of a `Training` may be traced: the same parameters come out."""
    spec = Spec((4,), Discrete(2))
    policy = MLP(hidden=(5,), kernel_init="lecun").build(spec)
    options = Dataset(size=2, optimizer=optimizer, schedule=schedule, noise=0.1)
    options = dataclasses.replace(options, max_grad_norm=0.5)
    start = options.build(policy, spec).start(jax.random.key(1))
    pairs = {"states": jnp.asarray(PAIRS["states"], jnp.float32)}

    @jax.jit
    def decode(rate, steps):
        numbers = {"learning_rate": rate, "steps": steps}
        traced = dataclasses.replace(options, **numbers).build(policy, spec)
        return traced.decode(pairs, start)

    for rate, steps in ((0.01, 7), (0.3, 2), (0.1, 0)):
        static = dataclasses.replace(options, learning_rate=rate, steps=steps)
        static = static.build(policy, spec)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
            decode(jnp.float32(rate), jnp.int32(steps)),
            jax.jit(static.decode)(pairs, start),
        )
    assert decode._cache_size() == 1


# ----------------------------------------------------------------- against plain loops


def by_plain_loops(one, policies, episodes, seed):
    """Return the returns (S, E) of the policies of a solution, one after the other."""
    _, task, policy, encoding, *_ = one.parts

    @jax.jit
    def play(key):
        start, episode_key = keys.of_policy(key)
        params = encoding.decode(one.genome, encoding.start(start))

        act = act_with(policy)
        episode_keys = keys.episode_keys(episode_key, episodes)
        return evaluate(task, act, params, one.answer.task, episode_keys).returns

    return np.array(
        [play(key) for key in keys.policy_keys(keys.evaluation(seed), policies)]
    )


def as_options(row):
    training = ("optimizer", "learning_rate", "steps")
    return {
        "policy": {
            "hidden": [row["width"]] * row["depth"],
            "activation": row["activation"],
        },
        "encoding": {name: row[name] for name in training},
    }


STATISTICS = {"obs_mean": np.ones(4), "obs_var": np.full(4, 0.5)}
FILES = {  # arrays, meta, optimizers, rows to look at
    "of CartPole": (PAIRS, {}, ["adam", "sgd"], (0, 3, 6, 13)),
    "with statistics": (PAIRS | STATISTICS, {}, None, (1, 6)),
    "of a wider network": (WIDE, SPEC, None, (0, 7)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", FILES)
def test_every_row_is_what_the_configuration_achieves(case, tmp_path):
    arrays, meta, optimizers, looked_at = FILES[case]
    path = write_genome(tmp_path / "g.npz", arrays, **meta)
    found = neuroevo.transfer(
        path,
        widths=[6, 9],
        activations=["tanh", "relu"],
        optimizers=optimizers,
        learning_rates=[0.05, 0.5],
        policies=2,
        episodes=3,
        seed=5,
    )
    assert (
        len(found["rows"]) == 8 * len(optimizers or [0])
        and found["env"] == "CartPole-v1"
    )
    assert found["axes"]["steps"] == [6] and found["axes"]["depth"] == [1]
    for row in (found["rows"][i] for i in looked_at):
        alone = neuroevo.load(path, **as_options(row))
        returns = by_plain_loops(alone, 2, 3, 5)
        np.testing.assert_allclose(row["return_per_policy"], returns.mean(1), rtol=1e-5)
        assert row["return_std"] == pytest.approx(returns.std(), abs=1e-4)
    means = [row["return_mean"] for row in found["rows"]]
    assert len(set(means)) > 1


@pytest.mark.slow
def test_continuous_actions_depths_and_groups(tmp_path, monkeypatch):
    """Several depths, and so many variants that they play in unequal groups."""
    arrays = {"states": RNG.normal(size=(2, 2)), "actions": RNG.normal(size=(2, 2))}
    path = write_genome(tmp_path / "g.npz", arrays)
    one = neuroevo.load(path, env=toy.walk())
    steps = [1, 2, 3, 4, 8]
    grid = {"widths": [3, 5], "depths": [2, 1], "activations": ["elu"], "steps": steps}
    whole = neuroevo.transfer(one, **grid, policies=2, episodes=2, seed=0)
    monkeypatch.setattr(transferring, "_MOST", 200)
    grouped = neuroevo.transfer(one, **grid, policies=2, episodes=2, seed=0)
    assert [
        (row["depth"], row["width"], row["steps"]) for row in whole["rows"]
    ] == list(itertools.product((2, 1), (3, 5), steps))
    for row, again in zip(whole["rows"], grouped["rows"], strict=True):
        expected = pytest.approx(row["return_per_policy"], rel=1e-4)
        assert again["return_per_policy"] == expected
    for row in whole["rows"][4::5]:  # one of each shape
        alone = neuroevo.load(path, env=toy.walk(), **as_options(row))
        expected = by_plain_loops(alone, 2, 2, 0).mean(1)
        np.testing.assert_allclose(row["return_per_policy"], expected, rtol=1e-4)


@pytest.mark.slow
def test_the_rollout_is_compiled_once(tmp_path):
    """As many traces of the environment for many kinds as for one."""
    arrays = {"states": RNG.normal(size=(2, 2)), "actions": RNG.normal(size=(2, 2))}
    path = write_genome(tmp_path / "g.npz", arrays)
    walk, traces = toy.walk(), []

    def step(key, state, action):
        traces.append(state)
        return walk.step(key, state, action)

    one = neuroevo.load(path, env=walk._replace(step=step))

    def count(**grid):
        traces.clear()
        neuroevo.transfer(one, episodes=1, **grid)
        return len(traces) - 1  # one is the check of an environment made in Python

    once = count(widths=[4], activations=["tanh"], policies=1)
    many = {"widths": [2, 4], "steps": [1, 2]}
    assert once == count(**many, activations=["elu", "tanh"], policies=3) > 0
    assert count(**many, activations=["elu"], depths=[1, 2], policies=1) == 2 * once


# ------------------------------------------------------------------------ command line


SMALL = "transfer g.npz --widths 6 3 --policies 2 --episodes 2 --seed 0"


@pytest.mark.slow
def test_json_is_one_object_on_any_number_of_devices(run_cli, genome):
    code, out, err = run_cli(f"{SMALL} --json --devices 1")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result.pop("genome") == "g.npz"
    assert run_cli(f"{SMALL} --json --devices 3") == (code, out, err)
    expected = {"depth": 1, "width": 6, "activation": "tanh", "optimizer": "adam"}
    assert expected.items() <= result["rows"][0].items()
    assert [row["width"] for row in result["rows"]] == [6, 6, 3, 3]
    again = neuroevo.transfer(genome, widths=(6, 3), policies=2, episodes=2, seed=0)
    assert again["axes"] == result["axes"]
    for row, other in zip(result["rows"], again["rows"], strict=True):
        assert row["return_per_policy"] == pytest.approx(other["return_per_policy"])


def test_table_and_picture(run_cli, tmp_path):
    code, out, err = run_cli(f"{SMALL} --picture heat.png --encoding.steps 1")
    assert (code, err) == (0, "")
    for text in ("transfer on CartPole-v1", "width  activation", "relu", "95 % interv"):
        assert text in out
    assert "learning rate 0.05, steps 1, 2 fresh policies × 2 episodes a row" in out
    with Image.open(tmp_path / "heat.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 100
    assert sorted(os.listdir(tmp_path)) == ["g.npz", "heat.png"]


def test_help_names_the_axes(run_cli):
    code, out, _ = run_cli("transfer --help --encoding dataset")
    assert code == 0
    for option in (*transferring.AXES.values(), "picture", "json", "encoding.size"):
        assert f"--{option.replace('_', '-')}" in out


MISTAKES = {
    "transfer": "GENOME is missing: expected neuroevo transfer RUN|GENOME.npz "
    "[OPTIONS]",
    "transfer nowhere": "nowhere: no such file; expected a genome (.npz)",
    "transfer g.npz --width 8": "unknown option --width: expected an option that "
    "--help lists; did you mean '--widths'?",
    "transfer g.npz --widths": "widths: expected at least 1 value, got ()",
    "transfer g.npz --widths 8 x": "--widths: expected values that are each an "
    "integer, got '8 x'",
    "transfer g.npz --widths 8 0": "widths: expected values that are each an integer "
    "from 1 to 2^31 - 1, got 0",
    "transfer g.npz --depths 0": "depths: expected values that are each an integer "
    "from 1 to 2^31 - 1, got 0",
    "transfer g.npz --activations tahn": "unknown activation 'tahn': expected one of "
    "elu, gelu, relu, silu, tanh; did you mean 'tanh'?",
    "transfer g.npz --optimizers sgd adma": "unknown optimizer 'adma': expected one of "
    "adam, momentum, sgd; did you mean 'adam'?",
    "transfer g.npz --learning-rates 0.1 -1": "learning_rates: expected values that "
    "are each a finite number greater than 0, got -1.0",
    "transfer g.npz --learning-rates inf": "learning_rates: expected values that are "
    "each a finite number greater than 0, got inf",
    "transfer g.npz --steps -1": "steps: expected values that are each an integer from "
    "0 to 2^31 - 1, got -1",
    "transfer g.npz --policies 0": "policies: expected an integer from 1 to "
    "2^31 - 1, got 0",
    "transfer g.npz --picture heat.jpg": "heat.jpg: expected a name that ends in .png, "
    ".svg or .pdf; did you mean '.png'?",
    "transfer g.npz --picture heat": "heat: expected a name that ends in .png, .svg or "
    ".pdf",
    "transfer g.npz --picture no/heat.png": "no/heat.png: expected an existing "
    "directory; no is not one",
    "transfer g.npz --devices 99": "--devices 99: expected at most 4, the number of "
    "cpu devices of this process; JAX fixed that number at its first use, before "
    "this run",
    "transfer direct.npz": "encoding direct has no optimizer, learning_rate, steps: "
    "expected an encoding that trains policies, such as --encoding dataset",
    "transfer g.npz --env Breakout-MinAtar --policy cnn": "policy cnn cannot be made "
    "wider or deeper here: expected --policy mlp",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_in_one_line(line, run_cli, tmp_path, monkeypatch):
    def reached(*args, **kwargs):
        pytest.fail("the mistake was not noticed before compiling")

    monkeypatch.setattr(transferring, "measure", reached)
    monkeypatch.setattr(solution.Solution, "__init__", reached)
    write_genome(tmp_path / "direct.npz", {}, OPTIONS | {"encoding": "direct"})
    assert run_cli(line) == (2, "", f"neuroevo: {MISTAKES[line]}\n")
    assert sorted(os.listdir(tmp_path)) == ["direct.npz", "g.npz"]


def test_mistakes_in_python_are_told_alike(genome, tmp_path):
    for options, message in (
        ({"widths": 0}, "widths: expected an integer from 1 to 2^31 - 1, got 0"),
        ({"widths": [8.5]}, "widths: expected an integer, got 8.5"),
        ({"widths": None}, "widths: expected one or more values, got none"),
        ({"activations": ["tahn"]}, "did you mean 'tanh'?"),
        ({"episodes": 0}, "episodes: expected an integer from 1 to 2^31 - 1, got 0"),
        ({"picture": genome}, "expected a name that ends in .png, .svg or .pdf"),
        ({"wdiths": [3]}, "transfer: unknown option --wdiths"),
    ):
        with pytest.raises(neuroevo.UserError) as error:
            neuroevo.transfer(genome, **options)
        assert message in str(error.value)


# ----------------------------------------------------------------------------- pictures


def result_of(**axes):
    """Return a result with these axes, its returns 0, 1, 2, …"""
    one = {
        "depth": [2],
        "width": [64],
        "activation": ["tanh"],
        "optimizer": ["adam"],
        "learning_rate": [0.01],
        "steps": [64],
    }
    axes = one | axes
    rows = itertools.product(*axes.values())
    rows = [
        dict(zip(axes, row, strict=True)) | {"return_mean": float(i)}
        for i, row in enumerate(rows)
    ]
    return {"env": "CartPole-v1", "axes": axes, "rows": rows}


def test_the_longest_axis_goes_across(monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        heat_map, "draw_heat_map", lambda path, values, **k: drawn.update(k, v=values)
    )
    heat_map.draw_transfer(
        result_of(width=[64, 128], activation=["tanh", "relu"], steps=[1, 2, 3]), None
    )
    assert drawn["columns"] == ["1", "2", "3"]
    assert drawn["rows"] == ["64 · tanh", "64 · relu", "128 · tanh", "128 · relu"]
    assert drawn["titles"] == ("width · activation", "steps")
    np.testing.assert_array_equal(drawn["v"], np.arange(12).reshape(4, 3))
    heat_map.draw_transfer(
        result_of(width=[64, 128], depth=[1, 2, 3], learning_rate=[0.1, 0.001]), None
    )
    assert drawn["columns"] == ["1", "2", "3"]
    assert drawn["rows"] == ["64 · 0.1", "64 · 0.001", "128 · 0.1", "128 · 0.001"]
    # The rows of a result: depth first, then width, then the learning rate.
    np.testing.assert_array_equal(drawn["v"], np.arange(12).reshape(3, 4).T)
    assert drawn["title"].endswith("activation tanh, optimizer adam, steps 64")


@pytest.mark.parametrize("suffix", figures.SUFFIXES)
def test_pictures_of_every_kind(suffix, tmp_path):
    path = tmp_path / f"heat{suffix}"
    result = result_of(width=[64, 128])
    result["rows"][0]["return_mean"] = float("nan")
    heat_map.draw_transfer(result, path)
    begins = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert path.read_bytes().startswith(begins[suffix])
    with pytest.raises(neuroevo.UserError, match="already exists"):
        figures.check_path(path)

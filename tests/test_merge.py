"""Merged data sets: padding to the digit, one policy for all, files that come back."""

import io
import json
import re
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

import neuroevo
from neuroevo import loading
from neuroevo import spaces as padding
from neuroevo.cli import main as cli
from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.core import keys
from neuroevo.core.acting import reactive
from neuroevo.errors import UserError
from neuroevo.policies.networks import CNN, MLP
from neuroevo.policies.restrict import restrict
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.store import genome_file
from neuroevo.studies import merge as merging
from neuroevo.terminal import results

OPTIONS = {
    "encoding": {"name": "dataset", "steps": 3, "optimizer": "sgd"},
    "policy": {"name": "mlp", "hidden": [8]},
}
SMALL = {"policies": 3, "episodes": 2}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


GENOMES = {
    "CartPole-v1": {"states": numbers(2, 4), "labels": np.array([1, 0])},
    "MountainCar-v0": {"states": numbers(3, 2), "action_logits": numbers(3, 3)},
    "Acrobot-v1": {"states": numbers(4, 6), "labels": np.array([2, 0, 1, 1])},
    "Pendulum-v1": {
        "states": numbers(2, 3),
        "actions": numbers(2, 1),
        "obs_mean": np.array([0.5, -0.5, 1.0], np.float32),
        "obs_var": np.array([1.0, 2.0, 4.0], np.float32),
    },
    "Reacher-misc": {"states": numbers(3, 8), "actions": numbers(3, 2)},
    "MountainCarContinuous-v0": {"states": numbers(3, 2), "actions": numbers(3, 1)},
}


def write(path, env, limit=10, **changes):
    """Write a genome for `env`, short of time, with other options if given."""
    parts = {"env": {"name": env, "max_steps_in_episode": limit}} | OPTIONS | changes
    if "obs_mean" in GENOMES[env]:
        parts["normalization"] = "running"
    meta = resolve.resolve([Layer("test", parts)]).to_dict()
    kept = ("env", "encoding", "policy", "normalization")
    genome_file.save(path, GENOMES[env], {part: meta[part] for part in kept})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A genome file for each environment."""
    path = tmp_path_factory.mktemp("genomes")
    for env in GENOMES:
        write(path / f"{env}.npz", env)
    return path


@pytest.fixture(scope="module")
def discrete(folder):
    """Two labeled sets, merged and written."""
    genomes = folder / "CartPole-v1.npz", folder / "Acrobot-v1.npz"
    return neuroevo.merge(*genomes, out=folder / "merged.npz")


@pytest.fixture
def run_cli(folder, monkeypatch, capsys):
    """Run a command line among the genome files; return code, stdout and stderr."""
    monkeypatch.chdir(folder)

    def run(line):
        with pytest.raises(SystemExit) as ended:
            cli.main(shlex.split(line))
        return ended.value.code, *capsys.readouterr()

    return run


# ---------------------------------------------------------------------------- padding


@pytest.mark.parametrize(
    ("shapes", "common"),
    [
        ([(4,), (6,), (2,)], (6,)),
        ([(10, 10, 4), (8, 12, 7)], (10, 12, 7)),
        ([(2, 3), (4,)], (6,)),
        ([(1, 2), (4,), (1, 1, 5)], (5,)),
        ([(), ()], ()),
        ([(), (3,)], (3,)),
    ],
)
def test_common_shapes(shapes, common):
    assert padding.common_shape(shapes) == common
    for shape in shapes:
        for array in (numbers(*shape), jnp.asarray(numbers(*shape))):
            padded = padding.pad(array, common)
            assert padded.shape == common
            assert isinstance(padded, jax.Array) == isinstance(array, jax.Array)
            assert np.count_nonzero(padded) == array.size
            np.testing.assert_array_equal(padding.cut(padded, shape), array)


def test_zeros_are_appended():
    padded = padding.pad(np.array([[1.0, 2.0], [3.0, 4.0]]), (3, 3))
    np.testing.assert_array_equal(padded, [[1, 2, 0], [3, 4, 0], [0, 0, 0]])
    flat = padding.pad(np.array([[1.0, 2.0], [3.0, 4.0]]), (5,))
    np.testing.assert_array_equal(flat, [1, 2, 3, 4, 0])


def test_labels_are_concatenated():
    specs = [Spec((4,), Discrete(2)), Spec((6,), Discrete(3))]
    genomes = [GENOMES["CartPole-v1"], GENOMES["Acrobot-v1"]]
    wide = padding.common_spec(specs)
    assert wide == Spec((6,), Discrete(3))
    merged = merging.concatenate(genomes, specs, wide)
    states = np.zeros((6, 6), np.float32)
    states[:2, :4] = genomes[0]["states"]
    states[2:] = genomes[1]["states"]
    np.testing.assert_array_equal(merged.pop("states"), states)
    np.testing.assert_array_equal(merged.pop("labels"), [1, 0, 2, 0, 1, 1])
    assert not merged


def test_labels_and_learned_labels_become_probabilities():
    specs = [Spec((2,), Discrete(3)), Spec((4,), Discrete(2)), Spec((1,), Discrete(4))]
    learned = {"states": np.ones((1, 1)), "action_logits": numbers(1, 4, seed=1)}
    genomes = [GENOMES["MountainCar-v0"], GENOMES["CartPole-v1"], learned]
    merged = merging.concatenate(genomes, specs, padding.common_spec(specs))
    assert merged.keys() == {"states", "action_logits"}
    assert np.isfinite(merged["action_logits"]).all()
    expected = np.zeros((6, 4))
    logits = np.exp(genomes[0]["action_logits"])
    expected[:3, :3] = logits / logits.sum(1, keepdims=True)
    expected[[3, 4], [1, 0]] = 1
    logits = np.exp(learned["action_logits"])
    expected[5] = logits / logits.sum()
    found = np.asarray(jax.nn.softmax(merged["action_logits"]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (found[expected == 0] == 0).all(), "exactly"


def test_actions_are_padded():
    specs = [Spec((3,), Box((1,))), Spec((8,), Box((2,)))]
    genomes = [GENOMES["Pendulum-v1"], GENOMES["Reacher-misc"]]
    merged = merging.concatenate(genomes, specs, padding.common_spec(specs))
    actions = np.zeros((5, 2), np.float32)
    actions[:2, :1] = genomes[0]["actions"]
    actions[2:] = genomes[1]["actions"]
    np.testing.assert_array_equal(merged["actions"], actions)
    assert merged.keys() == {"states", "actions"}


SPECS = {
    "labels": (Spec((6,), Discrete(5)), Spec((4,), Discrete(2))),
    "actions": (Spec((6,), Box((3,))), Spec((4,), Box((2,)))),
    "flattened": (Spec((9,), Box((4,))), Spec((2, 4), Box((2, 2)))),
    "images": (Spec((5, 6, 3), Discrete(3)), Spec((5, 5, 2), Discrete(3))),
}


@pytest.mark.parametrize("action", ["greedy", "sample"])
@pytest.mark.parametrize("case", SPECS)
def test_a_restricted_policy_is_the_wide_one_on_padded_input(case, action):
    wide, spec = SPECS[case]
    options = MLP(hidden=(5,), action=action, kernel_init="lecun")
    policy, own = options.build(wide), options.build(spec)
    restricted = restrict(policy, wide, own, spec)
    key = jax.random.key(3)
    params = restricted.init(key)
    jax.tree.map(np.testing.assert_array_equal, params, policy.init(key))
    observation = numbers(*spec.observation)
    padded = np.zeros(wide.observation, np.float32)
    if len(wide.observation) == len(spec.observation):
        padded[tuple(map(slice, spec.observation))] = observation
    else:
        padded[: observation.size] = observation.ravel()
    outputs = policy.apply(params, padded)
    shape = (spec.action.n,) if case in ("labels", "images") else spec.action.shape
    size = int(np.prod(shape))
    expected = jax.tree.map(lambda x: np.ravel(x)[:size].reshape(shape), outputs)
    found = restricted.apply(params, jnp.asarray(observation))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    np.testing.assert_array_equal(restricted.act(found, key), own.act(expected, key))


@pytest.mark.parametrize(
    "spec",
    [
        Spec((7,), Discrete(2)),
        Spec((2, 4), Discrete(2)),
        Spec((4,), Discrete(6)),
        Spec((4,), Box((2,))),
    ],
)
def test_what_does_not_fit_is_refused(spec):
    wide = Spec((6,), Discrete(5))
    policies = MLP().build(wide), MLP().build(spec)
    with pytest.raises(UserError, match="does not fit; expected one that is no larger"):
        restrict(policies[0], wide, policies[1], spec)


# --------------------------------------------------------------------------- decoding


def test_decoding_trains_the_wide_policy_on_all_rows(discrete):
    """Against plain gradient descent, written out."""
    wide = Spec((6,), Discrete(3))
    policy = MLP(hidden=(8,)).build(wide)
    states, labels = np.zeros((6, 6), np.float32), [1, 0, 2, 0, 1, 1]
    states[:2, :4] = GENOMES["CartPole-v1"]["states"]
    states[2:] = GENOMES["Acrobot-v1"]["states"]

    def loss(params):
        total = 0.0
        for state, label in zip(states, labels, strict=True):
            hidden = params["hidden_0"]
            x = jnp.tanh(state @ hidden["kernel"] + hidden["bias"])
            x = x @ params["output"]["kernel"] + params["output"]["bias"]
            total -= (x - jnp.log(jnp.exp(x).sum()))[label]
        return total / 6

    init_key, _ = jax.random.split(keys.policy(5))
    params = policy.init(init_key)
    for _ in range(3):
        grads = jax.grad(loss)(params)
        params = jax.tree.map(lambda x, g: x - 1e-2 * g, params, grads)
    for solution in discrete.solutions.values():
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6),
            solution.decode(5),
            params,
        )


def test_a_genome_merged_with_itself_teaches_the_same(folder):
    merged = neuroevo.merge(*[folder / "Pendulum-v1.npz"] * 2)
    assert list(merged.solutions) == ["Pendulum-v1", "Pendulum-v1-2"]
    assert not merged.disagreements
    alone = merged.own["Pendulum-v1"].decode(1)
    for solution in merged.solutions.values():
        assert solution.genome["states"].shape == (4, 3)
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
            solution.decode(1),
            alone,
        )


# ------------------------------------------------------------------------- evaluation


@pytest.mark.slow
def test_each_task_is_seen_as_its_genome_saw_it(folder):
    """With its own statistics, which a file keeps, and padded after normalization."""
    genomes = [folder / f"{env}.npz" for env in ("Reacher-misc", "Pendulum-v1")]
    merged = neuroevo.merge(*genomes, out=folder / "continuous.npz")
    solution = merged.solutions["Pendulum-v1"]
    params = solution.decode(0)
    wide = MLP(hidden=(8,)).build(Spec((8,), Box((2,))))
    policy, genome = solution.parts.policy, GENOMES["Pendulum-v1"]
    record = solution.parts.task.record(
        reactive(lambda params, observation, key: policy.apply(params, observation)[0]),
        params,
        solution.answer.task,
        jax.random.key(0),
    )
    for observation, action in zip(record.observations, record.actions, strict=True):
        x = (observation - genome["obs_mean"]) / np.sqrt(genome["obs_var"])
        mean, _ = wide.apply(params, np.r_[x, np.zeros(5, np.float32)])
        np.testing.assert_allclose(action, np.clip(mean[:1], -1, 1), atol=1e-6)

    with np.load(folder / "continuous.npz") as file:
        assert set(file.files) == {
            "meta",
            "states",
            "actions",
            "tasks/Pendulum-v1/obs_mean",
            "tasks/Pendulum-v1/obs_var",
        }
        for name in ("obs_mean", "obs_var"):
            stored = file[f"tasks/Pendulum-v1/{name}"]
            np.testing.assert_array_equal(stored, genome[name])
    before = merged.evaluate(**SMALL)
    for env in ("Reacher-misc", "Pendulum-v1"):
        again = neuroevo.load(folder / "continuous.npz", env=env).evaluate(**SMALL)
        assert before[env] == again | {"own": before[env]["own"]}


@pytest.mark.slow
def test_the_command_line_says_what_python_does(discrete, folder, run_cli):
    expected = discrete.evaluate(**SMALL, seed=0)
    line = "merge CartPole-v1.npz Acrobot-v1.npz --out again.npz"
    code, out, err = run_cli(f"{line} --policies 3 --episodes 2 --devices 1 --json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    said = json.loads(out)
    assert said["genome"] == "again.npz"
    for env, result in expected.items():
        result["own"]["genome"] = f"{env}.npz"
    assert said["tasks"] == expected
    assert (folder / "again.npz").read_bytes() == (folder / "merged.npz").read_bytes()


@pytest.mark.slow
def test_own_returns_are_those_of_evaluate(run_cli):
    options = "--policies 3 --episodes 2 --seed 7 --devices 1 --json"
    genomes = "MountainCar-v0.npz CartPole-v1.npz"
    _, out, _ = run_cli(f"merge {genomes} --out own.npz --policy.hidden {options}")
    tasks = json.loads(out)["tasks"]
    for env in ("MountainCar-v0", "CartPole-v1"):
        _, out, _ = run_cli(f"evaluate {env}.npz {options}")
        assert tasks[env]["own"] == json.loads(out)


# ------------------------------------------------------------------------------ files


def test_a_merged_file_describes_its_tasks(discrete, folder):
    file = genome_file.load(folder / "merged.npz")
    assert file.arrays.keys() == {"states", "labels"}
    assert file.meta.keys() == {
        *("format", "version", "encoding", "policy", "spec", "tasks")
    }
    assert file.meta["spec"] == {"observation": [6], "action": {"discrete": 3}}
    assert file.meta["encoding"]["size"] == 6
    for env, task in file.meta["tasks"].items():
        own = genome_file.load(folder / f"{env}.npz").meta
        assert task == {"env": own["env"], "normalization": own["normalization"]}
    assert list(file.meta["tasks"]) == ["CartPole-v1", "Acrobot-v1"]


def test_files_are_split_as_they_were_joined(discrete):
    files = {
        name: genome_file.GenomeFile("m.npz", solution.arrays(), solution.meta())
        for name, solution in discrete.solutions.items()
    }
    files["CartPole-v1"].arrays["obs_mean"] = np.ones(4)
    again = genome_file.split(genome_file.join("m.npz", files))
    jax.tree.map(np.testing.assert_array_equal, again, files)
    assert genome_file.split(files["CartPole-v1"]) == {}, "no merged file"


@pytest.mark.slow
def test_every_command_reads_a_merged_file(discrete, run_cli):
    expected = discrete.evaluate(**SMALL)
    expected = {
        name: {k: v for k, v in result.items() if k != "own"}
        for name, result in expected.items()
    }
    line = "evaluate merged.npz --policies 3 --episodes 2 --devices 1 --json"
    code, out, err = run_cli(line)
    assert (code, err) == (0, "")
    assert json.loads(out) == {"genome": "merged.npz", "tasks": expected}
    _, out, _ = run_cli(f"{line} --env Acrobot-v1")
    assert json.loads(out) == {"genome": "merged.npz"} | expected["Acrobot-v1"]
    _, out, _ = run_cli(f"{line} --env=Acrobot-v1 --env.max-steps-in-episode 4")
    assert json.loads(out)["episode_length_mean"] == 4
    code, out, _ = run_cli("train-policy merged.npz --env CartPole-v1 --out p.npz")
    assert (code, out) == (0, "p.npz\n")
    policy = neuroevo.load("p.npz")
    params = discrete.solutions["CartPole-v1"].decode(0)
    jax.tree.map(np.testing.assert_array_equal, policy.genome, params)


def test_one_task_of_a_merged_file_can_be_saved(discrete, folder):
    alone = neuroevo.load(folder / "merged.npz", env="CartPole-v1")
    alone.save(folder / "alone.npz")
    again = neuroevo.load(folder / "alone.npz")
    assert again.parts.spec == alone.parts.spec == Spec((6,), Discrete(3))
    assert again.evaluate(**SMALL, seed=0) == alone.evaluate(**SMALL, seed=0)
    assert genome_file.split(genome_file.load(folder / "alone.npz")) == {}


def test_tasks_of_one_environment_are_told_apart(folder):
    write(folder / "other.npz", "CartPole-v1", limit=5)
    neuroevo.merge(
        folder / "CartPole-v1.npz", folder / "other.npz", out=folder / "two.npz"
    )
    for env, limit in {"CartPole-v1": 10, "CartPole-v1-2": 5}.items():
        for given in (env, {"name": env}):
            solution = neuroevo.load(folder / "two.npz", env=given)
            assert solution.parts.environment.max_steps == limit
            assert solution.config.names["env"] == "CartPole-v1"


# ---------------------------------------------------------------------------- options


@pytest.mark.slow
def test_the_first_genomes_settings_hold_unless_overridden(folder, run_cli):
    write(
        folder / "longer.npz",
        "Acrobot-v1",
        encoding={"name": "dataset", "steps": 5, "optimizer": "adam"},
        policy={"name": "mlp", "hidden": [8], "activation": "relu"},
    )
    (folder / "my.yaml").write_text("{env: hopper, policy.hidden: [4]}")
    line = (
        "merge CartPole-v1.npz longer.npz --out settled.npz --policies 1 --episodes 1"
    )
    line += " --encoding.optimizer momentum --config my.yaml --devices 1"
    code, out, err = run_cli(line)
    assert code == 0
    assert err == (
        "neuroevo: encoding.steps: 3, as in the first genome; others have 5\n"
        "neuroevo: policy.activation: tanh, as in the first genome; others have relu\n"
    )
    meta = genome_file.load(folder / "settled.npz").meta
    assert (meta["encoding"]["steps"], meta["encoding"]["optimizer"]) == (3, "momentum")
    assert (meta["policy"]["hidden"], meta["policy"]["activation"]) == ([4], "tanh")
    titles, _, *rows, note = out.strip().splitlines()
    columns = "environment merged return 95 % interval own return 95 % interval"
    assert titles.split() == columns.split()
    assert [row.split()[0] for row in rows if row.split()] == [
        "CartPole-v1",
        "Acrobot-v1",
    ]
    assert note == "from 1 fresh policy × 1 episode"


def test_a_table_without_own_returns():
    result = {"return_mean": 1.0, "return_std": 0.5, "return_interval": [0.5, 1.5]}
    console = Console(file=io.StringIO(), width=80)
    measured = {"CartPole-v1": result | {"policies": 2, "episodes": 3}}
    results.render_environments(measured, console)
    out = console.file.getvalue()
    assert re.search(r"CartPole-v1 +1\.00 ± 0\.5\d* +0\.5\d* to 1\.5", out)
    assert "own" not in out and "from 2 fresh policies × 3 episodes" in out


# --------------------------------------------------------------------------- mistakes

CART, ACRO, OUT = "CartPole-v1.npz", "Acrobot-v1.npz", "--out new.npz"
MISTAKES = {
    f"merge {CART} {ACRO}": (
        "--out is missing: expected neuroevo merge RUN|GENOME.npz RUN|GENOME.npz ... "
        "--out MERGED.npz"
    ),
    f"merge {OUT}": "expected at least two genomes to merge, got 0",
    f"merge {CART} {OUT}": "expected at least two genomes to merge, got 1",
    f"merge {CART} {ACRO} --out {ACRO}": (
        "Acrobot-v1.npz: already exists; expected a new file"
    ),
    f"merge {CART} {ACRO} --out none/new.npz": (
        "none/new.npz: expected an existing directory; none is not one"
    ),
    f"merge {CART} nowhere.npz {OUT}": (
        "nowhere.npz: no such file; expected a genome (.npz)"
    ),
    f"merge {CART} . {OUT}": ".: not a run; expected a run directory or a genome",
    f"merge {CART} direct.npz {OUT}": (
        "direct.npz: not a data set genome: expected states and one of actions, "
        "labels, action_logits, found output/bias, output/kernel"
    ),
    f"merge {CART} bare.npz {OUT}": (
        "bare.npz: has no meta, and thus no env, encoding, policy, normalization; "
        "expected a genome file that says how to decode it"
    ),
    f"merge {CART} half.npz {OUT}": (
        "half.npz: has no policy, normalization; expected a genome file that says how "
        "to decode it"
    ),
    f"merge merged.npz {CART} {OUT}": (
        "merged.npz: already merged; expected the genomes that it was merged from"
    ),
    f"merge {CART} Pendulum-v1.npz {OUT}": (
        "actions of different kinds cannot be merged: CartPole-v1 has "
        "observations of shape (4,) and 2 discrete actions, and Pendulum-v1 has "
        "observations of shape (3,) and continuous actions of shape (1,)"
    ),
    f"merge {CART} {ACRO} {OUT} --env CartPole-v1": (
        "unknown option --env: expected options of encoding and policy"
    ),
    f"merge {CART} {ACRO} {OUT} --normalization.clip=3": (
        "unknown option --normalization.clip: expected options of encoding and policy"
    ),
    f"merge {CART} {ACRO} {OUT} --encoding.loss mse": (
        "unknown encoding.loss 'mse': expected one of auto, cross_entropy, "
        "cross_entropy_per_class"
    ),
    f"merge {CART} {ACRO} {OUT} --encoding.stps 3": (
        "unknown option --encoding.stps: expected --encoding.size, "
        "--encoding.length, --encoding.labels, --encoding.learn, "
        "--encoding.init-from, --encoding.init-scale, --encoding.latent, "
        "--encoding.bounds, --encoding.init, --encoding.init-seed, "
        "--encoding.steps, --encoding.loss, …; did you mean '--encoding.steps'?"
    ),
    f"merge {CART} {ACRO} {OUT} --policies 0": (
        "policies: expected an integer from 1 to 2^31 - 1, got 0"
    ),
    f"merge {CART} {ACRO} {OUT} --policy cnn": (
        "policy cnn needs images of one shape, but CartPole-v1 has observations of "
        "shape (4,) and 2 discrete actions, and Acrobot-v1 has observations of shape "
        "(6,) and 3 discrete actions; use --policy mlp"
    ),
    "evaluate merged.npz --env Pendulum-v1": (
        "unknown env of merged.npz 'Pendulum-v1': expected one of Acrobot-v1, "
        "CartPole-v1"
    ),
    "evaluate list.npz": (
        "list.npz: expected environments by name as tasks in its meta, each with env "
        "and normalization, got [1]"
    ),
    "evaluate shapeless.npz": (
        "shapeless.npz: expected the shapes of observations and actions as spec in its "
        "meta, got {'observation': [0], 'action': {'discrete': 2}}"
    ),
    "evaluate narrow.npz": (
        "the data set is for networks with observations of shape (3,) and 2 discrete "
        "actions: an environment with observations of shape (4,) and 2 discrete "
        "actions does not fit; expected one that is no larger"
    ),
}


@pytest.fixture(scope="module")
def mistaken(folder, discrete):
    """Files that are in some way unfit."""
    meta = genome_file.load(folder / CART).meta
    arrays = GENOMES["CartPole-v1"]

    def save(name, arrays=arrays, **changes):
        kept = {k: v for k, v in (meta | changes).items() if v is not None}
        genome_file.save(folder / name, arrays, kept)

    output = {"output/kernel": numbers(4, 2), "output/bias": numbers(2)}
    save("direct.npz", output, encoding={"name": "direct"})
    save("half.npz", policy=None, normalization=None)
    save("list.npz", tasks=[1])
    save("shapeless.npz", spec={"observation": [0], "action": {"discrete": 2}})
    three = arrays | {"states": arrays["states"][:, :3]}
    save("narrow.npz", three, spec={"observation": [3], "action": {"discrete": 2}})
    np.savez(folder / "bare.npz", **arrays)


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_in_one_line(line, mistaken, run_cli, folder, monkeypatch):
    def reached(*args, **kwargs):
        pytest.fail("the mistake was not noticed before compiling")

    monkeypatch.setattr(loading, "finish", reached)
    before = sorted(folder.iterdir())
    assert run_cli(line) == (2, "", f"neuroevo: {MISTAKES[line]}\n")
    assert sorted(folder.iterdir()) == before


def test_a_cnn_needs_images_of_one_shape():
    specs = [Spec((10, 10, 4), Discrete(3)), Spec((10, 10, 7), Discrete(3))]
    with pytest.raises(UserError, match="images of one shape"):
        merging._check_specs(specs, ["a", "b"], CNN())
    merging._check_specs(specs, ["a", "b"], MLP())
    merging._check_specs(specs[:1] * 2, ["a", "b"], CNN())


@pytest.mark.parametrize("options", [{}, {"policy": {"hidden": (4,)}}])
def test_python_must_choose_an_environment(discrete, folder, options):
    with pytest.raises(UserError) as error:
        neuroevo.load(folder / "merged.npz", **options)
    assert str(error.value) == (
        f"{folder / 'merged.npz'}: merged from several environments; expected one of "
        "them as env: CartPole-v1, Acrobot-v1"
    )


def test_python_is_told_of_mistakes_too(discrete, folder):
    with pytest.raises(UserError, match="at least two genomes to merge, got 1"):
        neuroevo.merge(folder / CART)
    with pytest.raises(UserError, match="already exists; expected a new file"):
        neuroevo.merge(folder / CART, folder / ACRO, out=folder / "merged.npz")
    with pytest.raises(UserError, match="env: each genome keeps its environment"):
        neuroevo.merge(folder / CART, folder / ACRO, env="CartPole-v1")
    with pytest.raises(UserError, match="already exists; expected a new file"):
        discrete.save(folder / "merged.npz")

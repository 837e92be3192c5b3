"""Distillation: rows, teachers, gradients through the training, and relabeling."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stored import assert_same_run, rewind
from toy import walk

import neuroevo
from genomes import examples
from neuroevo.errors import UserError
from neuroevo.policies.heads import clipped_mse
from neuroevo.run import teaching
from neuroevo.spaces import Box, Discrete, Spec
from neuroevo.store import rows_file
from neuroevo.strategies import gradients
from neuroevo.tasks import recording
from neuroevo.types import Rows

SMALL = {
    "encoding": {"size": 3, "steps": 12, "learning_rate": 0.05},
    "policy": {"hidden": [8]},
    "strategy": {
        "steps": 8,
        "networks": 2,
        "batch": 64,
        "generations": 4,
        "relabel_policies": 2,
        "capacity": 200,
    },
    "population": 2,
    "policies": 2,
    "generations": 4,
    "center_every": 2,
    "center_policies": 2,
    "final_policies": 4,
    "demonstrations": 3,
}
CARTPOLE = {"env": {"name": "CartPole-v1", "max_steps_in_episode": 40}}


def homing(observation, key):
    """Return the action that brings the point of the walk home."""
    return jnp.clip(-2 * observation, -1, 1)


def distill(teacher=homing, **options):
    return neuroevo.distill(teacher, display=False, **SMALL | options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a run in a directory, with a checkpoint in every generation."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    options = {"checkpoint": {"every_generations": 1, "keep": 9}, "devices": 1}
    return distill("zoo:cartpole-d2", run_dir=path, **CARTPOLE | options)


# ------------------------------------------------------------------------- the strategy


def test_students_learn_from_a_function():
    run = distill(env=walk(), devices=1)
    losses = [row["loss"] for row in run.metrics]
    assert losses[-1] < 0.5 * losses[0]
    assert run.summary["best_return_mean"] > 12  # of 20; standing still gives about 5
    assert run.config.parts["encoding"].loss == "mse"


def test_resumed_equals_uninterrupted(whole, tmp_path):
    rewind(whole.path, tmp_path / "parts", 2)  # a round of relabeling comes before
    neuroevo.evolve(run_dir=tmp_path / "parts", resume=True, display=False)
    assert_same_run(whole.path, tmp_path / "parts")


def test_the_number_of_devices_does_not_matter(whole):
    run = distill("zoo:cartpole-d2", **CARTPOLE, devices=2)
    jax.tree.map(np.testing.assert_array_equal, run.genome, whole.genome)


def test_a_distillation_goes_on_from_pairs(whole):
    options = {"population": 1, "generations": 1, "strategy": {"relabel_every": 0}}
    run = distill("zoo:cartpole-d2", **CARTPOLE | options, start=whole)
    change = np.subtract(*(np.asarray(each.genome["states"]) for each in (run, whole)))
    assert 0 < np.abs(change).max() < 1  # others begin at what the teacher saw
    np.testing.assert_array_equal(
        run.best.arrays()["obs_mean"], whole.best.arrays()["obs_mean"]
    )
    with pytest.raises(UserError, match="does not fit the env.*; "):
        distill(lambda x, key: 0, env="Acrobot-v1", start=whole)


def test_large_programs_are_compiled_once(caplog, monkeypatch):
    """Neither weak types nor the devices of an array may make a program anew."""
    monkeypatch.setattr(recording, "SEGMENT", 8)  # so that an episode has several
    jax.clear_caches()
    with jax.log_compiles():
        distill("zoo:cartpole-d2", **CARTPOLE, devices=2)
    pattern = (
        r"Compiling jit\((_fun|_collected)\) with global shapes and types (.*?)\. "
    )
    found = re.findall(pattern, caplog.text)
    programs = [(name, types.replace(", weak_type=True", "")) for name, types in found]
    assert {name for name, _ in programs} == {"_fun", "_collected"}
    assert sorted(set(programs)) == sorted(programs)


def test_a_run_keeps_its_rows_and_its_teacher(whole):
    names = {file.name.split("-")[0] for file in whole.path.iterdir()}
    assert {"rows", "teacher"} <= names
    teacher = neuroevo.load(next(whole.path.glob("teacher-*.npz")))
    assert teacher.config.names["encoding"] == "direct"


def test_relabeling_counts_and_fills_the_room(whole):
    state = whole.state.strategy
    added = int(state.added)
    assert added > 0
    assert int((np.asarray(state.rows.weights[-100:]) > 0).sum()) == min(added, 100)
    steps = [row["env_steps"] for row in whole.metrics]
    assert whole.counters.env_steps > steps[-1]  # the last round follows the last one


def test_new_rows_replace_the_oldest():
    options = gradients.Gradients(capacity=10)
    rows = gradients._with_room(_rows(20), most=5, room=5)
    state = gradients.State(None, None, None, jax.tree.map(jnp.asarray, rows), 0)
    for first, count in ((100, 3), (200, 4)):
        new = _rows(count)._replace(weights=np.arange(first, first + count))
        state = gradients.add_rows(options, state, new)
    assert state.rows.weights[5:].tolist() == [202, 203, 102, 200, 201]
    assert len(_rows(3).weights) == 3


def test_rows_are_drawn_by_their_weights():
    rows = _rows(4)._replace(weights=np.array([0, 1, 0, 3], np.float32))
    draw = gradients._draw_from(jax.tree.map(jnp.asarray, rows))
    observations, targets = draw(jax.random.key(0), 4000)
    assert set(np.unique(observations[:, 0])) == {1, 3}
    assert np.mean(observations[:, 0] == 3) == pytest.approx(0.75, abs=0.03)
    np.testing.assert_array_equal(observations[:, 0], targets[:, 0])


def test_the_better_half_survives():
    options = gradients.Gradients(generations=2)
    descents = gradients._Descents(options, 4, _outer_loss())
    state = descents.init(jax.random.key(0), jnp.zeros(2))
    genomes = jnp.arange(8.0).reshape(4, 2)
    state = state._replace(candidates=state.candidates._replace(genome=genomes))
    fitness = jnp.array([1.0, jnp.nan, 3.0, 2.0])
    after = descents.tell(None, genomes, fitness, state)
    assert after.candidates.genome[:, 0].tolist() == [4, 6, 4, 6]
    assert gradients._center(after).tolist() == [4, 5]


def test_a_step_that_is_not_finite_is_left_out():
    def loss_on(genome, key, observations, targets):
        return jnp.sum(genome) / jnp.sum(jnp.zeros(1))

    loss = _outer_loss()._replace(loss_on=loss_on)
    descents = gradients._Descents(gradients.Gradients(steps=2), 1, loss)
    state = descents.init(jax.random.key(0), jnp.ones(2))
    after = descents.improve(jax.random.key(1), state, 0, None)
    assert after.genome.tolist() == [1, 1]


def _rows(count):
    numbers = np.arange(count, dtype=np.float32)
    return Rows(numbers[:, None], numbers[:, None], np.ones(count, np.float32))


def _outer_loss():
    from neuroevo.types import OuterLoss

    return OuterLoss(
        lambda key: jnp.zeros(2), lambda genome, *_: jnp.sum(genome**2), _rows(4)
    )


def test_a_mean_beyond_the_bound_is_as_good_as_the_bound():
    target = jnp.array([[1.0], [1.0], [-1.0], [0.5]])
    mean = jnp.array([[3.0], [-3.0], [-2.0], [1.5]])
    errors = [
        float(clipped_mse((m[None], None), t[None]))
        for m, t in zip(mean, target, strict=True)
    ]
    assert errors == [0, 16, 0, 1]


# ---------------------------------------------------------------------------- the pairs


@pytest.mark.parametrize("kind", ["sample", "kmeans"])
def test_pairs_start_from_rows(kind):
    rng = np.random.default_rng(0)
    centers = np.array([[-9.0, 0.0], [9.0, 0.0], [0.0, 9.0]], np.float32)
    observations = np.repeat(centers, 20, axis=0) + rng.normal(0, 0.1, (60, 2))
    rows = Rows(observations.astype(np.float32), observations / 9, np.ones(60))
    spec = Spec((2,), Box((2,)))
    shapes = {"states": (3, 2), "actions": (3, 2)}
    draw = examples.drawer(kind, rows, spec, shapes, None)
    genome = jax.jit(draw)(jax.random.key(1))
    np.testing.assert_allclose(genome["actions"], genome["states"] / 9, atol=0.02)
    if kind == "sample":
        found = {tuple(row) for row in np.asarray(genome["states"])}
        assert len(found) == 3 and found <= {tuple(r) for r in rows.observations}


def test_a_rare_action_among_many_rows_is_found():
    targets = np.zeros(20_000, np.int32)
    targets[[2, 7]] = 1
    states = np.arange(20_000, dtype=np.float32)[:, None]
    rows = Rows(states, targets, np.ones(20_000, np.float32))
    shapes = {"states": (2, 1)}
    spec = Spec((1,), Discrete(2))
    draw = examples.drawer("sample", rows, spec, shapes, jnp.array([0, 1]))
    assert draw(jax.random.key(0))["states"][1] in (2, 7)


def test_means_are_those_of_each_action():
    rows = Rows(
        np.arange(6, dtype=np.float32)[:, None], np.array([0, 1] * 3), np.ones(6)
    )
    spec = Spec((1,), Discrete(2))
    draw = examples.drawer("mean", rows, spec, {"states": (2, 1)}, jnp.array([0, 1]))
    assert draw(jax.random.key(0))["states"].tolist() == [[2], [3]]


def test_an_action_with_fewer_rows_than_pairs_repeats_them():
    rows = Rows(np.array([[1.0], [2.0], [3.0]]), np.array([0, 0, 1]), np.ones(3))
    labels = jnp.array([0, 1, 1])
    draw = examples.drawer(
        "sample", rows, Spec((1,), Discrete(2)), {"states": (3, 1)}, labels
    )
    for seed in range(4):
        states = draw(jax.random.key(seed))["states"][:, 0].tolist()
        assert states[0] in (1, 2) and states[1:] == [3, 3]


@pytest.mark.parametrize(
    "rows, words",
    [
        (Rows(np.zeros((1, 1)), np.array([0]), np.ones(1)), "at least as many rows"),
        (Rows(np.zeros((4, 1)), np.zeros(4, int), np.ones(4)), "got none of [1]"),
    ],
)
def test_too_few_rows_to_start_from(rows, words):
    spec = Spec((1,), Discrete(2))
    with pytest.raises(UserError, match=words.replace("[", r"\[")):
        examples.drawer("sample", rows, spec, {"states": (2, 1)}, jnp.array([0, 1]))


# ------------------------------------------------------------------------ rows in files

FINE = {"observations": np.zeros((3, 4)), "actions": np.array([0, 1, 1])}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"actions": None}, "expected observations and actions"),
        ({"actions": np.array([0, 1])}, "as many rows in every array"),
        ({"actions": np.array([0, 1, 2])}, "go from 0 to 2; expected 0 to 1"),
        ({"actions": np.array([0.5, 0, 0])}, "expected integers"),
        ({"observations": np.full((3, 4), np.nan)}, "3 rows with NaN"),
        ({"observations": np.zeros((3, 5))}, r"observations have shape \(5,\)"),
        ({"weights": np.array([1, -1, 0])}, "weights of at least 0, got -1"),
        ({"weights": np.zeros(3)}, "expected a weight above 0"),
        ({"action_logits": np.zeros((3, 3))}, r"action_logits have shape \(3,\)"),
        (dict.fromkeys(FINE, np.zeros((0, 4))), "at least one row"),
    ],
)
def test_a_faulty_file_of_rows_is_told_in_one_line(tmp_path, changes, words):
    arrays = {k: v for k, v in {**FINE, **changes}.items() if v is not None}
    rows_file.write(tmp_path / "rows.npz", arrays)
    with pytest.raises(UserError, match=words):
        rows_file.read(tmp_path / "rows.npz", Spec((4,), Discrete(2)))


def test_labels_and_logits_become_probabilities():
    spec = Spec((4,), Discrete(2))
    labels = rows_file.to_rows(FINE, spec)
    assert labels.targets.tolist() == [[1, 0], [0, 1], [0, 1]]
    logits = {"observations": FINE["observations"], "action_logits": np.zeros((3, 2))}
    assert (rows_file.to_rows(logits, spec).targets == 0.5).all()


def test_collected_rows_are_what_the_policy_does(tmp_path):
    rows = neuroevo.collect(homing, tmp_path / "rows.npz", env=walk(), episodes=2)
    expected = homing(rows["observations"], None)
    np.testing.assert_allclose(rows["actions"], expected, atol=1e-6)
    assert set(rows["episode"]) == {0, 1}
    read = rows_file.read(tmp_path / "rows.npz", walk().spec)
    np.testing.assert_array_equal(read["actions"], rows["actions"])
    with pytest.raises(UserError, match="already exists"):
        neuroevo.collect(homing, tmp_path / "rows.npz", env=walk())


def test_rows_alone_suffice(tmp_path):
    neuroevo.collect(homing, tmp_path / "rows.npz", env=walk(), episodes=2)
    run = distill(tmp_path / "rows.npz", env=walk(), generations=1, devices=1)
    assert run.relabeling is None
    assert run.config.parts["strategy"].relabel_every == 0


# ------------------------------------------------------------------------- the teachers


def test_a_teacher_whose_normalization_follows_the_episode(tmp_path):
    run = neuroevo.evolve(
        env=walk(),
        normalization="episode",
        encoding="direct",
        policy={"name": "mlp", "hidden": [4]},
        population=4,
        generations=1,
        final_policies=0,
        devices=1,
    )
    teaching.save(run.best, tmp_path / "teacher.npz")
    solution = neuroevo.load(tmp_path / "teacher.npz", env=walk())
    assert solution.config.names["normalization"] == "constant"
    with pytest.raises(UserError, match="cannot label single rows"):
        teaching.of_solution(run.best)
    teacher = teaching.of_solution(solution)
    assert teaching.labels(teacher.label, np.ones((2, 2), np.float32)).shape == (2, 2)


def test_a_checkpoint_of_brax(tmp_path):
    from brax.training.acme import running_statistics, specs
    from brax.training.agents.ppo import checkpoint, networks

    factory = networks.make_ppo_networks
    policy = factory(2, 2, policy_hidden_layer_sizes=(4,)).policy_network
    seen = running_statistics.init_state(specs.Array((2,), jnp.float32))
    params = (seen, policy.init(jax.random.key(0)), {"value": jnp.zeros(1)})
    config = checkpoint.network_config(2, 2, True, factory)
    config.network_factory_kwargs.policy_hidden_layer_sizes = (4,)
    checkpoint.save(tmp_path, 7, params, config)
    (path,) = tmp_path.iterdir()
    teacher = teaching.read(path, walk().spec)
    observation = jnp.array([0.3, -0.2])
    label = teacher.label(observation)
    draws = jax.random.split(jax.random.key(1), 20_000)
    act = jax.vmap(lambda key: teacher.actor.act((), (), observation, None, key)[0])
    actions = act(draws)
    assert label.shape == (2,) and actions.std() > 0.1
    np.testing.assert_allclose(label, actions.mean(0), atol=0.02)
    with pytest.raises(UserError, match="takes 2 numbers and returns 2"):
        teaching.read(path, Spec((3,), Box((2,))))


@pytest.mark.parametrize(
    "teacher, options, words",
    [
        (
            "zoo:cartpole-d2",
            {"env": "Acrobot-v1"},
            r"cartpole-d2.*: the teacher is for observations",
        ),
        (
            "zoo:cartpole-d2",
            {"encoding": "direct"},
            "encoding direct: expected one with pairs",
        ),
        (homing, {}, "--env is missing"),
        (homing, {"env": "CartPole-v1"}, r"returns an action of shape \(\)"),
        ("nothing.npz", {}, "no such file"),
        (3, {}, "expected as teacher"),
        ("zoo:cartpole-d2", {"encoding": {"loss": "mse"}}, "encoding.loss"),
        ("zoo:cartpole-d2", {"strategy": {"loss": "nll"}}, "strategy.loss"),
    ],
)
def test_a_teacher_that_does_not_fit(teacher, options, words, tmp_path):
    with pytest.raises(UserError, match=words):
        neuroevo.distill(teacher, run_dir=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_gradients_need_rows():
    with pytest.raises(UserError, match="needs examples; expected --rows FILE"):
        neuroevo.evolve(env=walk(), strategy="gradients")
    with pytest.raises(UserError, match="expected --rows FILE as well"):
        neuroevo.evolve(env=walk(), encoding={"name": "dataset", "init_from": "sample"})


def test_evolution_starts_from_rows_and_takes_steps_to_scale(whole):
    from neuroevo.studies.distill import refinement

    start, config = refinement(whole, generations=3)
    scale = np.sqrt(
        np.mean(
            np.square(
                np.concatenate([np.ravel(x) for x in jax.tree.leaves(whole.genome)])
            )
        )
    )
    assert config.parts["strategy"].std == pytest.approx(0.03 * scale, rel=1e-2)
    assert config.names["normalization"] == "constant"
    assert config.settings.generations == 3
    assert config.settings.final_policies == whole.config.settings.final_policies


def test_rows_without_an_environment_are_labeled_data(tmp_path):
    neuroevo.collect(homing, tmp_path / "rows.npz", env=walk(), episodes=2)
    options = SMALL | {"strategy": {"steps": 2, "batch": 8}, "generations": 1}
    path = tmp_path / "run"
    run = neuroevo.distill(tmp_path / "rows.npz", run_dir=path, devices=1, **options)
    assert run.config.names["env"] == "npz"
    assert run.summary["best_return_mean"] < 0  # minus the squared error
    again = neuroevo.evolve(run_dir=path, resume=True, generations=2, display=False)
    assert again.generation == 2  # the run has its own copy of the data

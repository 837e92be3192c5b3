"""Several discrete choices at once: heads, losses, genomes, files, masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

import neuroevo
from genomes.labels import fixed_labels
from neuroevo import errors, spaces
from neuroevo.policies import heads
from neuroevo.spaces import Box, Discrete, MultiDiscrete, Spec

COUNTS = (2, 3)
ACTION = MultiDiscrete(COUNTS)


def dials(action=ACTION, legal=None):
    """Three steps; the reward counts the dials that stand where the state says."""

    def reset(key):
        wanted = jax.random.randint(key, (2,), 0, jnp.array(COUNTS))
        return wanted, wanted.astype(jnp.float32)

    def step(key, state, action):
        reward = (action == state).sum().astype(jnp.float32)
        return state, state.astype(jnp.float32), reward, False

    return neuroevo.Environment(Spec((2,), action), reset, step, 3, legal)


OPTIONS = {
    "policy": {"hidden": [8], "action": "greedy"},
    "population": 16,
    "policies": 1,
    "episodes": 4,
    "center_policies": 1,
    "final_policies": 2,
    "final_episodes": 4,
    "devices": 1,
}


def test_parts_are_side_by_side():
    x = jnp.array([1.0, 2.0, 5.0, 4.0, 3.0])
    assert [part.tolist() for part in spaces.split(x, COUNTS)] == [[1, 2], [5, 4, 3]]
    assert spaces.best(x, ACTION).tolist() == [1, 0]
    hot = spaces.one_hot(np.array([1, 0]), ACTION)
    assert hot.tolist() == [0, 1, 1, 0, 0]
    assert spaces.best(hot, ACTION).tolist() == [1, 0]
    assert spaces.outputs(Spec((2,), ACTION)) == (5,)
    assert "2 x 3 values" in spaces.in_words(Spec((2,), ACTION))


def test_one_choice_is_discrete():
    logits = jnp.array([0.1, 2.0, -1.0])
    labels = np.array([2, 0])
    assert spaces.best(logits, Discrete(3)) == spaces.best(logits, MultiDiscrete((3,)))
    one = spaces.one_hot(labels, Discrete(3))
    assert (one == spaces.one_hot(labels[:, None], MultiDiscrete((3,)))).all()


def test_sampling_follows_each_distribution():
    act, _ = heads.head(ACTION, "sample")
    logits = jnp.log(jnp.array([0.8, 0.2, 0.1, 0.3, 0.6]))
    drawn = jax.vmap(act, (None, 0))(logits, jax.random.split(jax.random.key(0), 4000))
    assert drawn.shape == (4000, 2)
    assert drawn.dtype == jnp.int32
    hot = spaces.one_hot(np.asarray(drawn), ACTION)
    assert np.abs(hot.mean(axis=0) - np.exp(logits)).max() < 0.03
    # The choices are independent.
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.05


@pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy_per_class"])
def test_losses_are_sums_over_the_choices(name):
    _, losses = heads.head(ACTION, "sample")
    logits = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    labels = np.stack([np.arange(7) % n for n in COUNTS], axis=1).astype(np.int32)
    expected = 0.0
    for part, label, n in zip(
        np.split(logits, [2], axis=1), labels.T, COUNTS, strict=True
    ):
        each = -log_softmax(part, axis=1)[np.arange(7), label].mean()
        expected += each / (n if name.endswith("class") else 1)
    found = losses[name](jnp.asarray(logits), jnp.asarray(labels))
    assert found == pytest.approx(expected, rel=1e-5)
    hot = jnp.asarray(spaces.one_hot(labels, ACTION))
    assert losses[name](jnp.asarray(logits), hot) == pytest.approx(expected, rel=1e-5)


def test_fixed_labels_combine_all_values():
    labels = fixed_labels(9, MultiDiscrete((3, 3)))
    assert len({tuple(row) for row in labels.tolist()}) == 9
    for column in labels.T:
        assert np.bincount(column).tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    "encoding",
    [
        pytest.param("direct", id="direct", marks=pytest.mark.slow),
        pytest.param({"name": "dataset"}, id="fixed labels", marks=pytest.mark.slow),
        pytest.param({"name": "dataset", "labels": "learned"}, id="learned labels"),
    ],
)
def test_every_encoding_learns_several_choices(encoding, tmp_path):
    if isinstance(encoding, dict):
        encoding = encoding | {"size": 6, "steps": 16}
    run = neuroevo.evolve(env=dials(), encoding=encoding, generations=30, **OPTIONS)
    assert run.summary["best_return_mean"] > 3.5  # of 6; chance is 2.5
    path = run.best.save(tmp_path / "best.npz")
    again = neuroevo.load(path or tmp_path / "best.npz", env=dials())
    result = again.evaluate(policies=2, episodes=4, seed=1)
    assert result["return_mean"] == run.best.evaluate(2, 4, seed=1)["return_mean"]


@pytest.mark.slow
def test_rows_and_distillation(tmp_path):
    def teacher(observation, key):
        return observation.astype(jnp.int32)

    run = neuroevo.distill(
        teacher,
        env=dials(),
        encoding={"size": 6, "steps": 32},
        strategy={"steps": 60},
        **OPTIONS | {"population": 1, "generations": 3},
    )
    assert run.genome["action_logits"].shape == (6, 5)
    assert run.summary["best_return_mean"] > 4.5


def test_illegal_values_are_never_taken():
    """The second dial may stand at 1 alone, and of the first, none is legal."""

    def legal(state):
        return jnp.array([False, False, False, True, False])

    run = neuroevo.evolve(
        env=dials(legal=legal), encoding="direct", generations=1, **OPTIONS
    )
    for trajectory in run.best.record(policies=3):
        assert (trajectory.actions[:, 1] == 1).all()


def test_merging_needs_the_same_choices():
    same, other = Spec((2,), ACTION), Spec((5,), ACTION)
    assert spaces.common_spec([same, other]) == other
    with pytest.raises(errors.UserError, match="same choices"):
        spaces.common_spec([same, Spec((2,), MultiDiscrete((2, 2)))])


@pytest.mark.parametrize("counts", [(), (2, 0), (2, 1.5), [2, 3]], ids=str)
def test_bad_counts_are_told(counts):
    with pytest.raises(errors.UserError, match="MultiDiscrete"):
        neuroevo.evolve(env=dials(MultiDiscrete(counts)), generations=1)


def test_a_box_has_no_choices():
    assert spaces.choices(Box((3,))) == ()

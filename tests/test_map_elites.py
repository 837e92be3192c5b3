"""MAP-Elites as a strategy, and the descriptors that its archive is filled by."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import walk

from neuroevo import registry
from neuroevo.environments import descriptors, wrappers
from neuroevo.errors import UserError
from neuroevo.run.checks import check_environment
from neuroevo.strategies.map_elites import MAPElites
from neuroevo.types import Descriptor

PLANE = Descriptor(("x", "y"), (-1.0, 0.0), (1.0, 4.0))
GENOME = {"a": jnp.ones(3), "b": jnp.zeros((2, 2))}
KEYS = jax.random.split(jax.random.key(0), 40)


def described_walk(limit=20):
    """The walk, described by where it ends."""
    where = Descriptor(("x", "y"), (-3, -3), (3, 3), lambda state, observation: state)
    return walk(limit=limit)._replace(descriptor=where)


class Reference:
    """The archive in plain Python: a dict from cells to elites."""

    def __init__(self, cells, low, high):
        self.cells, self.low, self.high = np.array(cells), np.array(low), np.array(high)
        self.elites = {}

    def add(self, number, fitness, descriptor):
        if not (np.isfinite(fitness) and np.isfinite(descriptor).all()):
            return
        place = (descriptor - self.low) / (self.high - self.low) * self.cells
        place = tuple(np.clip(place, 0, self.cells - 1).astype(int))
        if place not in self.elites or fitness > self.elites[place][0]:
            self.elites[place] = fitness, number, descriptor


def numbered(first, count):
    """Return genomes that say their numbers."""
    numbers = jnp.arange(first, first + count, dtype=jnp.float32)
    return {
        name: numbers.reshape(-1, *[1] * x.ndim) + jnp.zeros((count, *x.shape))
        for name, x in GENOME.items()
    }


def test_the_archive_is_that_of_a_plain_dict():
    """Ties, failures, what lies outside, and many candidates for one cell included."""
    count, cells = 64, (3, 5)
    strategy = MAPElites(cells=cells).build(count, PLANE)
    tell = jax.jit(strategy.tell)
    state = strategy.init(KEYS[0], GENOME)
    reference = Reference(cells, PLANE.low, PLANE.high)
    rng = np.random.default_rng(0)
    for i in range(20):
        fitness = rng.integers(-3 + i // 4, 3 + i // 4, count).astype(np.float32)
        fitness[rng.random(count) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
        described = rng.normal(0, 2, (count, 2)).astype(np.float32)
        described[rng.random(count) < 0.1] = np.nan
        state = tell(KEYS[i], numbered(i * count, count), fitness, state, described)
        for j in range(count):
            reference.add(i * count + j, fitness[j], described[j])
    elites = strategy.archive.elites(state)
    filled = np.isfinite(elites.fitness).reshape(cells)
    assert {tuple(x) for x in np.argwhere(filled)} == reference.elites.keys()
    for place, (fitness, number, described) in reference.elites.items():
        cell = np.ravel_multi_index(place, cells)
        assert elites.fitness[cell] == fitness
        for leaf in jax.tree.leaves(elites.genomes):
            assert (leaf[cell] == number).all()
        np.testing.assert_array_equal(elites.descriptors[cell], described)
    best = max(fitness for fitness, *_ in reference.elites.values())
    found = strategy.center(state)["a"][0]
    assert found in [n for f, n, _ in reference.elites.values() if f == best]


def test_the_first_candidates_surround_the_start():
    strategy = MAPElites(std=0.3).build(4096, PLANE)
    state = strategy.init(KEYS[0], GENOME)
    first, asked = strategy.ask(KEYS[1], state)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[0], y), first, GENOME)
    for leaf, start in zip(
        jax.tree.leaves(first), jax.tree.leaves(GENOME), strict=True
    ):
        np.testing.assert_allclose(leaf.std(axis=0), 0.3, rtol=0.1)
        np.testing.assert_allclose(leaf.mean(axis=0), start, atol=0.05)
    jax.tree.map(np.testing.assert_array_equal, strategy.center(asked), GENOME)


def filled(options, count=4096):
    """Return a strategy with elites 0 and 1 in two of its cells."""
    strategy = options.build(count, PLANE)
    state = strategy.init(KEYS[0], GENOME)
    population = jax.tree.map(lambda x: x.at[2:].set(0), numbered(0, count))
    fitness = jnp.full(count, -jnp.inf).at[:2].set(jnp.array([1.0, 2.0]))
    described = jnp.zeros((count, 2)).at[1, 1].set(4.0)
    return strategy, strategy.tell(KEYS[1], population, fitness, state, described)


def test_parents_are_drawn_evenly_from_the_filled_cells():
    strategy, state = filled(MAPElites(std=0.1, iso=0.1, line=0.0))
    children, _ = strategy.ask(KEYS[2], state)
    parents = np.round(np.asarray(children["a"]))
    assert set(np.unique(parents)) == {0, 1}
    assert 0.45 < parents[:, 0].mean() < 0.55
    np.testing.assert_allclose((children["a"] - parents).std(), 0.01, rtol=0.1)


def test_children_lie_on_the_line_between_two_elites():
    strategy, state = filled(MAPElites(iso=0.0, line=0.2))
    children, _ = strategy.ask(KEYS[2], state)
    at = np.asarray(children["a"][:, 0])
    for leaf in jax.tree.leaves(children):  # one step for all numbers of a genome
        np.testing.assert_allclose(
            leaf,
            np.ones(leaf.shape[1:]) * at.reshape(-1, *[1] * (leaf.ndim - 1)),
            atol=1e-6,
        )
    moved = at[(at != 0) & (at != 1)]
    assert 0.45 < len(moved) / len(at) < 0.55  # half of the pairs are two of a kind
    steps = np.where(abs(moved) < abs(moved - 1), moved, 1 - moved)
    assert 0.1 < abs(steps).mean() < 0.25


# --- bad input ------------------------------------------------------------------------


def test_the_number_of_cells_fits_the_descriptor():
    with pytest.raises(UserError, match="one for each of x, y, such as 32 32; got 3"):
        MAPElites(cells=(4, 4, 4)).build(8, PLANE)
    with pytest.raises(UserError, match=r"at most 2\^31 - 1 cells, got 65536 x 65536"):
        MAPElites(cells=(65536,)).build(8, PLANE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ("x",)}, "1 finite numbers"),
        ({"names": ("x", "x")}, "different names"),
        ({"names": ()}, "different names"),
        ({"low": (0.0,)}, "2 finite numbers, one for each name"),
        ({"high": (1.0, np.inf)}, "2 finite numbers"),
        ({"low": (-3.0, 5.0)}, "low below high for y; got 5 and 3"),
        ({"of": None}, "a function as its of"),
        ({"of": lambda state, observation: state[0]}, "describes an episode"),
    ],
)
def test_a_descriptor_that_does_not_fit_is_told(change, message):
    environment = described_walk()
    made = environment.descriptor._replace(**change)
    with pytest.raises(UserError, match=message):
        check_environment(environment._replace(descriptor=made))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["z:0:1"], "unknown; expected x, place, or an index from 0 to 1"),
        (["2:0:1"], "unknown; expected x, place, or an index from 0 to 1"),
        (["place"], "no bounds of its own; expected place:LOW:HIGH"),
        (["x:1:0"], "LOW below HIGH, such as x:-1:1"),
        (["x:0:inf"], "LOW below HIGH"),
        (["x:0"], "LOW below HIGH"),
        (["x", "x"], "expected it once"),
    ],
)
def test_options_that_are_wrong_are_told(texts, message):
    known = {
        "x": descriptors.Measure(lambda state, seen: seen[0], -1, 1),
        "place": descriptors.Measure(lambda state, seen: state[0]),
        **descriptors.observed((2,), None),
    }
    with pytest.raises(UserError, match=message):
        descriptors.described(walk(), texts, known)


# --- descriptors ----------------------------------------------------------------------


def test_means_are_over_the_steps_of_an_episode():
    known = {
        "far": descriptors.Measure(lambda s, seen: jnp.abs(s[0]) > 2, 0, 1, mean=True),
        "end": descriptors.Measure(lambda s, seen: s[1], -3, 3),
    }
    made = descriptors.described(walk(), ["end", "far"], known)
    check_environment(made)
    state, _ = made.reset(KEYS[0])
    seen = []
    for key in KEYS[:6]:
        state, *_ = made.step(key, state, jnp.ones(2))
        seen.append(np.abs(wrappers.bare(state)[0]) > 2)
    end, far = made.descriptor.of(state, None)
    assert far == np.float32(np.mean(seen)) and 0 < far < 1
    assert end == wrappers.bare(state)[1]


def test_sticky_actions_leave_the_descriptor_as_it_is():
    made = wrappers.sticky(described_walk(), 0.5)
    check_environment(made)
    state, _ = made.reset(KEYS[0])
    np.testing.assert_array_equal(made.descriptor.of(state, None), state.state)


def test_a_gymnax_environment_knows_the_bounds_of_what_it_shows():
    config = registry.envs.get("MountainCarContinuous-v0")
    made = config(descriptor=("velocity", "0:-1:0")).build().descriptor
    assert made.names == ("velocity", "0")
    np.testing.assert_allclose((made.low, made.high), [(-0.07, -1), (0.07, 0)])
    found = made.of(None, jnp.array([0.5, 0.01]))
    np.testing.assert_allclose(found, [0.01, 0.5])

"""Searches for sets that train any network: what varies, and what does not."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neuroevo
from genomes.dataset import Dataset
from neuroevo.errors import UserError
from neuroevo.policies import optimizers
from neuroevo.policies.networks import MLP
from neuroevo.spaces import Box, Spec

SPEC = Spec((3,), Box((2,)))
PLAIN = MLP(hidden=(4, 4), kernel_init="lecun")
VARIED = dataclasses.replace(
    PLAIN, vary_widths=(4, 7), vary_depths=(1, 3), vary_activations=("tanh", "relu")
)
TRAINING = Dataset(size=3, steps=5, init_scale=1.0, max_grad_norm=0.5)


@functools.cache
def parts(training=TRAINING, network=VARIED):
    policy = network.build(SPEC)
    encoding = training.build(policy, SPEC)
    return policy, encoding, jax.jit(encoding.start), jax.jit(encoding.decode)


def kind(params):
    """Return width, depth and activation of a network."""
    units = np.abs(params["hidden_0"]["kernel"]).sum(axis=0) > 0
    activation = ("tanh", "relu")[int(params["activation"])]
    return int(units.sum()), int(params["depth"]), activation


def plain(params):
    """Return a network of one kind, without what makes it one among others."""
    width, depth, activation = kind(params)
    options = dataclasses.replace(PLAIN, hidden=(width,) * depth, activation=activation)
    policy = options.build(SPEC)
    like = jax.eval_shape(policy.init, jax.random.key(0))
    own = {name: params[name] for name in like}
    cut = jax.tree.map(lambda x, to: x[tuple(map(slice, to.shape))], own, like)
    return policy, cut


@pytest.mark.parametrize("adam_fan_in", [False, True])
def test_networks_of_every_kind_are_drawn_and_train_as_they_would_alone(
    adam_fan_in, monkeypatch
):
    monkeypatch.setattr(optimizers, "REFERENCE_FAN_IN", 2)  # less than any layer has
    training = dataclasses.replace(TRAINING, adam_fan_in=adam_fan_in)
    policy, encoding, start, decode = parts(training)
    genome = jax.jit(encoding.init)(jax.random.key(0))
    observation = jnp.arange(3.0)
    kinds = set()
    for seed in range(24):
        started = start(jax.random.key(seed))
        kinds.add(kind(started.params))
        if seed < 4:
            trained = decode(genome, started)
            single, own = plain(started.params)
            alone = training.build(single, SPEC).decode
            expected = jax.jit(alone)(genome, started._replace(params=own))
            assert kind(trained) == kind(started.params)
            assert not np.allclose(trained["output"]["kernel"][:4], 0)
            for found, wanted in zip(
                jax.tree.leaves(
                    (plain(trained)[1], policy.apply(trained, observation))
                ),
                jax.tree.leaves((expected, single.apply(expected, observation))),
                strict=True,
            ):
                np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert len(kinds) == 8, kinds


def test_training_varies_as_asked():
    options = {"vary_learning_rate": (1e-3, 1e-1), "vary_steps": (2, 6)}
    options |= {"vary_optimizers": ("adam", "sgd")}
    training = dataclasses.replace(TRAINING, schedule="linear", **options)
    policy, encoding, start, decode = parts(training, PLAIN)
    genome = jax.jit(encoding.init)(jax.random.key(0))
    starts = jax.vmap(start)(jax.random.split(jax.random.key(1), 64))
    rates, steps = (
        np.asarray(starts.drawn.numbers[name]) for name in ("learning_rate", "steps")
    )
    assert 1e-3 <= rates.min() < 2e-3 and 5e-2 < rates.max() <= 0.1
    assert sorted(set(steps)) == [2, 3, 4, 5, 6]
    chosen = np.asarray(starts.drawn.optimizer)
    assert set(chosen) == {0, 1}
    together = jax.jit(jax.vmap(encoding.decode, (None, 0)))(genome, starts)
    for i in (*np.flatnonzero(chosen == 0)[:2], *np.flatnonzero(chosen == 1)[:2]):
        own = dataclasses.replace(
            TRAINING,
            schedule="linear",
            learning_rate=float(rates[i]),
            steps=int(steps[i]),
            optimizer=("adam", "sgd")[chosen[i]],
        )
        one = jax.tree.map(lambda x, i=i: x[i], (starts, together))
        alone = own.build(policy, SPEC)
        started = alone.start(jax.random.key(0))._replace(params=one[0].params)
        expected = jax.jit(alone.decode)(genome, started)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one[1], expected
        )


def test_gradients_go_through_what_varies():
    training = dataclasses.replace(TRAINING, vary_steps=(2, 5), max_grad_norm=None)
    network = MLP((4,), kernel_init="lecun", vary_activations=("tanh", "relu"))
    policy, encoding, start, _ = parts(training, network)
    genome = jax.jit(encoding.init)(jax.random.key(0))
    started = start(jax.random.key(1))
    observations = jax.random.normal(jax.random.key(2), (4, 3))

    def loss(genome, decode=encoding.decode, start=started):
        params = decode(genome, start)
        mean, _ = jax.vmap(policy.apply, (None, 0))(params, observations)
        return jnp.sum(mean**2)

    found = jax.jit(jax.grad(loss))(genome)
    steps = int(started.drawn.numbers["steps"])
    fixed = dataclasses.replace(TRAINING, steps=steps, max_grad_norm=None)
    alone = fixed.build(policy, SPEC)
    begin = alone.start(jax.random.key(0))._replace(params=started.params)
    expected = jax.grad(functools.partial(loss, decode=alone.decode, start=begin))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6),
        found,
        jax.jit(expected)(genome),
    )
    assert float(jnp.abs(found["states"]).max()) > 0


def test_results_are_those_of_the_policy_as_configured(tmp_path, run_cli):
    options = (
        "--policy.hidden 4 --policy.vary-widths 4 6 --policy.vary-activations tanh relu"
        " --encoding.steps 3 --encoding.vary-steps 1 4 --policies 2 --episodes 1"
        " --population 4 --generations 2 --final-policies 2 --final-episodes 2"
        " --devices 1 --env.max-steps-in-episode 10 --quiet"
    )
    said = run_cli(f"train {options} --run-dir {tmp_path / 'run'}")
    assert said.code == 0, said.err
    said = run_cli(
        f"evaluate {tmp_path / 'run'} --policies 2 --episodes 2 --seed 0 --json"
    )
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    measured = json.loads(said.out)
    assert measured["return_mean"] == summary["best_return_mean"]
    solution = neuroevo.load(tmp_path / "run")
    assert sorted(solution.decode()) == ["hidden_0", "output"]
    assert solution.config.parts["policy"].vary_widths == ()
    again = neuroevo.load(tmp_path / "run", policy={"vary_widths": [4, 6]})
    assert again.decode()["hidden_0"]["kernel"].shape == (4, 6)


def test_mistakes():
    with pytest.raises(UserError, match="vary_steps: expected a range from low"):
        Dataset(size=2, vary_steps=(4, 2)).build(PLAIN.build(SPEC), SPEC)
    with pytest.raises(UserError, match="expected hidden layers of one width"):
        MLP(hidden=(4, 8), vary_depths=(1, 2)).build(SPEC)
    with pytest.raises(UserError, match="expected genes that do not depend on"):
        neuroevo.evolve(
            encoding={"name": "dataset", "learn": ["layer_rates"]},
            policy={"name": "mlp", "hidden": [4], "vary_depths": [1, 2]},
            devices=1,
        )

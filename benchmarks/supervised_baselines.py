"""What small sets of images are worth without a search: the baselines of distillation.

    python benchmarks/supervised_baselines.py digits
    python benchmarks/supervised_baselines.py fashion-d10
    python benchmarks/supervised_baselines.py fashion-mnist --sets 3 --networks 3

Fresh networks are trained on random real images of each class, on class means, and on
the whole training set, and are measured on the test split. Network, loss, optimizer and
learning rate are those that decode an evolved set (Li et al., "DD-Ranking", 2025, ask
for the same): see `DECODERS`. The whole training set is visited in minibatches.
"""

import argparse
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neuroevo.config import resolve
from neuroevo.config.layers import Layer, read_preset
from neuroevo.core import keys
from neuroevo.policies import imitation
from neuroevo.progress import Role
from neuroevo.run.run import Run
from neuroevo.run.switches import pinned
from neuroevo.types import Rows

BATCH = 256  # of the whole training set
DECODERS = {
    "digits": [
        Layer(
            "digits",
            {
                "env": "digits",
                "encoding": {"name": "dataset", "steps": 64, "learning_rate": 0.01},
                "policy": {
                    "name": "mlp",
                    "hidden": [64],
                    "activation": "relu",
                    "kernel_init": "lecun",
                },
            },
        )
    ],
    "fashion-mnist": read_preset("hades-fashion"),
    "fashion-d10": read_preset("fashion-d10"),
}


def of_each_class(rows: Rows, classes: int) -> list[np.ndarray]:
    return [rows.observations[rows.targets == label] for label in range(classes)]


def random_images(images: list[np.ndarray], each: int, seed: int) -> np.ndarray:
    """Return (classes * each, …) training images, `each` of every class."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.choice(some, each, replace=False) for some in images])


def class_means(images: list[np.ndarray], each: int) -> np.ndarray:
    """Return the means of `each` disjoint random parts of every class."""
    rng = np.random.default_rng(0)
    parts = [np.array_split(rng.permutation(some), each) for some in images]
    return np.stack([part.mean(axis=0) for some in parts for part in some])


def measure_sets(run: Run, sets: np.ndarray, networks: int) -> np.ndarray:
    """Return the accuracy (sets, networks) of networks trained on each set."""
    policy_keys = keys.policy_keys(keys.evaluation(0), networks)
    genomes = {"states": jnp.asarray(sets)}
    return np.asarray(
        run.engine.evaluate(genomes, (), policy_keys, episodes=1).returns[..., 0]
    )


def measure_everything(run: Run, networks: int, epochs: int) -> np.ndarray:
    """Return the accuracy (networks,) after training on the whole training split."""
    policy, task = run.parts.policy, run.parts.task
    options = run.config.parts["encoding"]
    optimizer = imitation.make_optimizer(options)
    loss = imitation.find_loss(policy, options.loss)
    steps = epochs * -(-len(run.parts.environment.train.targets) // BATCH)

    @jax.jit
    def trained_accuracy(key, data):
        start, draw = jax.random.split(key)
        params = policy.init(start)

        def update(i, carry):
            params, state = carry
            batch = task.bind(data).batch(jax.random.fold_in(draw, i), BATCH)
            gradients = jax.grad(objective)(params, *batch)
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        def objective(params, inputs, targets):
            return loss(jax.vmap(policy.apply, (None, 0))(params, inputs), targets)

        carry = params, optimizer.init(params)
        params, _ = jax.lax.fori_loop(0, steps, update, carry)
        role = jnp.int32(Role.FINAL)
        return run.parts.environment.measure(policy.apply, params, key, role, data)

    each = jax.random.split(keys.stream("baselines", 0), networks)
    data = jax.tree.map(jnp.asarray, task.data)
    return np.array([trained_accuracy(key, data) for key in each])


def show(name: str, accuracy: np.ndarray) -> None:
    """Print the mean, and the spread over sets and over networks of a set."""
    sets = np.atleast_2d(accuracy)
    spread = f"± {sets.std(axis=1).mean():.2f} over {sets.shape[1]} networks"
    if len(sets) > 1:
        means = sets.mean(axis=1)
        spread = f"± {means.std():.2f} over {len(sets)} sets, {spread}"
    print(f"{name:<36} {sets.mean():6.2f} %  {spread}", flush=True)


@pinned()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("decoder", choices=DECODERS)
    parser.add_argument("--per-class", type=int, default=1, help="images of a class")
    parser.add_argument("--sets", type=int, default=8, help="random sets")
    parser.add_argument("--networks", type=int, default=8, help="networks for each")
    parser.add_argument("--epochs", type=int, default=20, help="0: not everything")
    asked = parser.parse_args(argv)
    layers = DECODERS[asked.decoder]
    classes = 10
    pairs = {"encoding": {"size": classes * asked.per_class, "labels": "fixed"}}
    run = Run(resolve.resolve([*layers, Layer("baselines", pairs)]))
    images = of_each_class(run.parts.environment.train, classes)
    draw = functools.partial(random_images, images, asked.per_class)
    sets = [class_means(images, asked.per_class), *map(draw, range(asked.sets))]
    means, *others = measure_sets(run, np.stack(sets), asked.networks)
    show(f"random images, {asked.per_class} of a class", np.array(others))
    show(f"class means, {asked.per_class} of a class", means)
    if asked.epochs:
        everything = measure_everything(run, asked.networks, asked.epochs)
        total = len(run.parts.environment.train.targets)
        show(f"all {total:,} images, {asked.epochs} epochs", everything)


if __name__ == "__main__":
    main()

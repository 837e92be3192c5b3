"""Rank networks by what a data set teaches them, and by what PPO does.

    python examples/screening.py
    python examples/screening.py zoo:cartpole-d2 100000 2    # GENOME STEPS SEEDS

A set of pairs trains a network in milliseconds. Does a network that it trains well
learn well with PPO, too? This trains 32 networks for CartPole in both ways, in seven
minutes on one core.
"""

import itertools
import sys
import time

import flax.linen as nn
import numpy as np
from scipy.stats import spearmanr
from teacher_minatar import Sizes, teach

import neuroevo
from neuroevo.environments.gymnax import suite

WIDTHS, DEPTHS = (4, 8, 16, 32, 64, 128, 256, 512), (1, 2)
ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu}
SIZES, RATE = Sizes(environments=16, steps=128, minibatches=4), 1e-3


class ActorCritic(nn.Module):
    """A policy of the given layers, and a value function that is always the same."""

    width: int
    depth: int
    activation: str

    @nn.compact
    def __call__(self, observation):
        """Return logits and values for observations (…, 4)."""
        x = observation
        for _ in range(self.depth):
            x = ACTIVATIONS[self.activation](nn.Dense(self.width)(x))
        logits = nn.Dense(2, kernel_init=nn.initializers.orthogonal(0.01))(x)
        x = observation
        for _ in range(2):
            x = nn.tanh(nn.Dense(64)(x))
        return logits, nn.Dense(1)(x)[..., 0]


def main(
    genome="zoo:cartpole-d2", steps=100_000, seeds=2, widths=WIDTHS, depths=DEPTHS
):
    """Print a table of both returns, and return Spearman's correlation."""
    grid = {"widths": widths, "depths": depths, "activations": [*ACTIVATIONS]}
    start = time.perf_counter()
    rows = neuroevo.transfer(genome, **grid, seed=0)["rows"]
    screened = time.perf_counter() - start
    returns = {
        (row["width"], row["depth"], row["activation"]): row["return_mean"]
        for row in rows
    }
    environment = suite.config("CartPole-v1")().build()
    found = []
    start = time.perf_counter()
    print("width depth activation   pairs     PPO")
    for kind in itertools.product(widths, depths, ACTIVATIONS):
        curves = [
            teach(environment, ActorCritic(*kind), int(steps), seed, SIZES, RATE)[1]
            for seed in range(int(seeds))
        ]
        found.append((returns[kind], float(np.mean(curves))))
        width, depth, activation = kind
        pairs, ppo = found[-1]
        line = f"{width:5} {depth:5} {activation:>10} {pairs:7.1f} {ppo:7.1f}"
        print(line, flush=True)
    trained = time.perf_counter() - start
    result = spearmanr(*zip(*found, strict=True))
    print(f"{len(found)} networks: {screened:.1f} s by pairs, {trained:.0f} s by PPO")
    print(f"rank correlation {result.statistic:.2f} (p = {result.pvalue:.2g})")
    return result.statistic


if __name__ == "__main__":
    main(*sys.argv[1:])

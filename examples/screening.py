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
import jax
import numpy as np
import ppo
from scipy.stats import spearmanr

import neuroevo
from neuroevo.environments.gymnax import suite

WIDTHS, DEPTHS = (4, 8, 16, 32, 64, 128, 256, 512), (1, 2)
ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu}


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
        width, depth, activation = kind
        network = ppo.ActorCritic(2, depth * (width,), ACTIVATIONS[activation])
        train = ppo.trainer(environment, network, int(steps))
        curves = [train(jax.random.key(seed))[1] for seed in range(int(seeds))]
        found.append((returns[kind], float(np.mean(curves))))
        pairs, rl = found[-1]
        line = f"{width:5} {depth:5} {activation:>10} {pairs:7.1f} {rl:7.1f}"
        print(line, flush=True)
    trained = time.perf_counter() - start
    result = spearmanr(*zip(*found, strict=True))
    print(f"{len(found)} networks: {screened:.1f} s by pairs, {trained:.0f} s by PPO")
    print(f"rank correlation {result.statistic:.2f} (p = {result.pvalue:.2g})")
    return result.statistic


if __name__ == "__main__":
    main(*sys.argv[1:])

"""How long a trained policy takes: by two pairs, and by PPO.

    python examples/policies_per_second.py
    python examples/policies_per_second.py GENOME STEPS POLICIES

Both train the network of the genome, two layers of 64 tanh units, and are measured in
episodes that they did not see. PPO's policy goes to ppo.npz.
"""

import sys
import time

import jax
import ppo

import neuroevo
from neuroevo.environments.gymnax import suite

ENV = "CartPole-v1"


def by_pairs(genome, policies):
    """Return the mean return of fresh policies, and seconds: compiling, and for one."""
    solution = neuroevo.load(genome)
    start = time.perf_counter()
    jax.block_until_ready(solution.decode(0))
    compiled = time.perf_counter()
    for seed in range(1, policies + 1):
        jax.block_until_ready(solution.decode(seed))
    seconds = (time.perf_counter() - compiled) / policies
    found = solution.evaluate(policies=24, episodes=4, seed=0)
    return found["return_mean"], compiled - start, seconds


def by_ppo(steps, file, seed=0):
    """Return the mean return of a policy, and seconds: compiling, and the rest."""
    environment = suite.config(ENV)().build()
    network = ppo.ActorCritic(environment.spec.action.n)

    key = jax.random.key(seed)
    start = time.perf_counter()
    train = ppo.trainer(environment, network, steps).lower(key).compile()
    compiled = time.perf_counter()
    params, _ = jax.block_until_ready(train(key))
    seconds = time.perf_counter() - compiled
    layers = ("hidden_0", "hidden_1", "output")
    weights = {name: params[f"Dense_{i}"] for i, name in enumerate(layers)}
    ppo.save(weights, ENV, {"name": "mlp", "hidden": [64, 64]}, file)
    found = neuroevo.load(file).evaluate(policies=1, episodes=96, seed=0)
    return found["return_mean"], compiled - start, seconds


def main(genome="zoo:cartpole-d2", steps=200_000, policies=512, file="ppo.npz"):
    """Print a table, and return how many policies the pairs train in PPO's time."""
    rows = {
        "pairs": by_pairs(genome, int(policies)),
        f"PPO, {int(steps)} steps": by_ppo(int(steps), file),
    }
    print("                      return  compiling   one policy")
    for name, (mean, compiling, seconds) in rows.items():
        print(f"{name:20} {mean:7.1f} {compiling:8.1f} s {1e3 * seconds:9.1f} ms")
    (*_, pairs), (*_, rl) = rows.values()
    print(f"pairs: {1 / pairs:.0f} policies a second; PPO: one in {rl:.1f} s")
    return rl / pairs


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Steps per second in an environment of Gymnasium, against a plain loop on the host.

Both play the same episodes of the same policies: a population of networks, one episode
each, from the same seeds. The plain loop keeps one environment for each network in this
process, with one compiled call for the actions of all of them::

    python benchmarks/gym_speed.py Hopper-v5 --population 64 --steps 300
"""

import argparse
import json
import time
from collections.abc import Callable

import gymnasium
import jax
import numpy as np

import neuroevo
from neuroevo.core import keys
from neuroevo.core.acting import act_with
from neuroevo.run.run import Run

ENDLESS = {"Hopper-v5": {"terminate_when_unhealthy": False}}  # all steps, for all


def main() -> None:
    """Measure, and print one line of JSON for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("id", nargs="?", default="Hopper-v5")
    parser.add_argument("--population", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backends", nargs="+", default=["gymnasium"])
    given = parser.parse_args()
    runs = {name: prepare(given, name) for name in given.backends}
    plays = {name: ours(run, given.population) for name, run in runs.items()}
    plays = {"plain loop": plain(given, runs[given.backends[0]]), **plays}
    found: dict[str, list[float]] = {name: [] for name in plays}
    returns = {}
    for round_ in range(given.rounds + 1):  # the first one compiles
        for name, play in plays.items():
            began = time.perf_counter()
            returns[name], steps = play()
            if round_:
                found[name].append(steps / (time.perf_counter() - began))
    base = np.array(found["plain loop"])
    for name, each in found.items():
        row = {
            "way": name,
            "steps_per_second": round(float(np.median(each))),
            "of_plain_loop": round(float(np.median(np.array(each) / base)), 2),
            "return_mean": round(float(returns[name].mean()), 3),
        }
        print(json.dumps(row))


def prepare(given: argparse.Namespace, backend: str) -> Run:
    """Return a run whose engine has been built."""
    return neuroevo.evolve(
        env={
            "name": f"gym:{given.id}",
            "max_steps": given.steps,
            "backend": backend,
            **ENDLESS.get(given.id, {}),
        },
        encoding="direct",
        policy={"name": "mlp", "hidden": [64, 64], "action": "greedy"},
        population=given.population,
        chunk=given.population,
        generations=1,
        final_policies=0,
        display=False,
    )


def population(run: Run, count: int) -> tuple[object, jax.Array]:
    """Return genomes (count, …), and the keys of their one policy."""
    drawn = jax.random.split(jax.random.key(0), count)
    return jax.vmap(run.parts.encoding.init)(drawn), keys.policy_keys(
        jax.random.key(1), 1
    )


def ours(run: Run, count: int) -> Callable[[], tuple[np.ndarray, int]]:
    """Return what plays with neuroevo."""
    genomes, policy_keys = population(run, count)

    def play() -> tuple[np.ndarray, int]:
        found = run.engine.evaluate(genomes, run.state.task, policy_keys, episodes=1)
        return np.ravel(found.returns), int(np.sum(found.lengths))

    return play


def plain(given: argparse.Namespace, run: Run) -> Callable[[], tuple[np.ndarray, int]]:
    """Return what plays in a plain loop over environments in this process."""
    genomes, policy_keys = population(run, given.population)
    policy = keys.of_policy(policy_keys[0])
    start = run.parts.encoding.start(policy.start)
    params = jax.vmap(run.parts.encoding.decode, (0, None))(genomes, start)
    (episode,) = keys.episode_keys(policy.episodes, 1)
    seed = int(keys.host_seed(keys.of_episode(episode).reset))
    actor = act_with(run.parts.policy)
    options = {**ENDLESS.get(given.id, {}), "max_episode_steps": given.steps}
    envs = [gymnasium.make(f"{given.id}", **options) for _ in range(given.population)]
    discrete = isinstance(envs[0].action_space, gymnasium.spaces.Discrete)

    @jax.jit
    def act(observations: np.ndarray) -> jax.Array:
        def one(params, observation):
            return actor.act(params, (), observation, None, jax.random.key(0))[0]

        return jax.vmap(one)(params, observations.astype(np.float32))

    def play() -> tuple[np.ndarray, int]:
        seen = np.stack([env.reset(seed=seed)[0] for env in envs])
        total, steps = np.zeros(len(envs)), 0
        living = np.ones(len(envs), bool)
        while living.any():
            actions = np.asarray(act(seen))
            for i in np.flatnonzero(living):
                action = int(actions[i]) if discrete else np.clip(actions[i], -1, 1)
                seen[i], reward, terminated, truncated, _ = envs[i].step(action)
                total[i] += reward
                steps += 1
                living[i] = not (terminated or truncated)
        return total, steps

    return play


if __name__ == "__main__":
    main()

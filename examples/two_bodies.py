"""One data set for two bodies: distill a hopper and a cheetah into the same pairs.

    python examples/two_bodies.py
    python examples/two_bodies.py PAIRS

Data sets that were found apart disturb each other when they are merged. Here both
teachers teach the same pairs: an environment of our own plays one of the two in each
episode, and its teacher labels what the students saw there. Every network that trains
on the pairs then moves both bodies.
"""

import sys

import jax
import jax.numpy as jnp

import neuroevo

TEACHERS = {"hopper": "zoo:hopper-d4", "halfcheetah": "zoo:halfcheetah-d4"}
OPTIONS = {
    "policy": {"name": "mlp", "hidden": [256, 256], "action": "greedy"},
    "normalization": "none",  # every teacher's own is in the environment
    "population": 1,
    "policies": 8,
    "strategy": {"relabel_every": 1, "relabel_policies": 8, "capacity": 65536},
    "generations": 24,
    "center_policies": 4,
    "final_policies": 0,  # each body is measured by itself
}
MEASURED = {"policies": 12, "episodes": 2}
TRAINING = {"name": "dataset", "learning_rate": 0.005, "steps": 128}


class Body:
    """A teacher and its environment, with the range of its inputs among all inputs."""

    def __init__(self, solution, start):
        self.environment = solution.parts.environment
        self.inputs = self.environment.spec.observation[0]
        self.outputs = self.environment.spec.action.shape[0]
        self.start = start
        self.solution = solution
        self.params = solution.decode()

    def place(self, observation, width):
        """Return the normalized observation, with zeros for the other body's."""
        task, known = self.solution.parts.task, self.solution.answer.task
        after = width - self.start - self.inputs
        return jnp.pad(task.normalize(known, observation), (self.start, after))

    def label(self, placed, outputs):
        """Return what the teacher does for a placed observation."""
        own = placed[self.start : self.start + self.inputs]
        action = self.solution.parts.policy.apply(self.params, own)[0]
        return jnp.pad(jnp.clip(action, -1, 1), (0, outputs - self.outputs))


def bodies(names=TEACHERS):
    """Return the bodies of some teachers, with inputs that do not overlap."""
    found = []
    for name in names.values():
        start = found[-1].start + found[-1].inputs if found else 0
        found.append(Body(neuroevo.load(name), start))
    return found


def together(bodies, only=None):
    """Return an environment that plays one of some bodies in each episode.

    Args:
        bodies: from `bodies`.
        only: index of the one to play; None draws one for each episode.
    """
    width = bodies[-1].start + bodies[-1].inputs
    outputs = max(body.outputs for body in bodies)

    def reset(key):
        drawing, *starts = jax.random.split(key, 1 + len(bodies))
        which = jax.random.randint(drawing, (), 0, len(bodies))
        which = which if only is None else jnp.int32(only)
        pairs = [
            body.environment.reset(start)
            for body, start in zip(bodies, starts, strict=True)
        ]
        states, seen = zip(*pairs, strict=True)
        return (which, states), observed(which, seen)

    def observed(which, seen):
        placed = [b.place(each, width) for b, each in zip(bodies, seen, strict=True)]
        return jnp.stack(placed)[which]

    def step(key, state, action):
        which, states = state
        taken = [
            body.environment.step(key, own, action[: body.outputs])
            for body, own in zip(bodies, states, strict=True)
        ]
        states, seen, rewards, done = zip(*taken, strict=True)
        chosen = jnp.stack(rewards)[which], jnp.stack(done)[which]
        return (which, states), observed(which, seen), *chosen

    spec = neuroevo.Spec((width,), neuroevo.Box((outputs,)))
    steps = max(body.environment.max_steps for body in bodies)
    return neuroevo.Environment(spec, reset, step, steps)


def main(pairs=16, measured=MEASURED, **options):
    """Return the run, and what its networks return with each of the bodies."""
    both = bodies()
    outputs = max(body.outputs for body in both)

    def act(observation, key):
        # The other body's inputs are zeros.
        seen = [
            jnp.abs(observation[body.start : body.start + body.inputs]).sum()
            for body in both
        ]
        labels = jnp.stack([body.label(observation, outputs) for body in both])
        return labels[jnp.argmax(jnp.stack(seen))]

    encoding = TRAINING | {"size": int(pairs)}
    run = neuroevo.distill(
        act, env=together(both), **OPTIONS | {"encoding": encoding} | options
    )
    results = {}
    for i, name in enumerate(TEACHERS):
        alone = together(both, only=i)
        solution = neuroevo.load(run.best, env=alone)
        results[name] = solution.evaluate(**measured)
    return run, results


if __name__ == "__main__":
    run, results = main(*sys.argv[1:])
    for name, result in results.items():
        low, high = result["return_interval"]
        print(f"{name}: {result['return_mean']:.0f} ({low:.0f} to {high:.0f})")

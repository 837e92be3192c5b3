"""Distill a policy whose weights were evolved into a few state-action pairs.

    python examples/distillation.py
    python examples/distillation.py hopper

The teacher is a search over weights; the pairs come from gradients through the training
of fresh networks on them. CartPole takes less than a minute, hopper about a quarter of
an hour.
"""

import sys

import neuroevo

TEACHERS = {
    "CartPole-v1": {"target": 495},
    "hopper": {
        "policy": {"name": "mlp", "hidden": [16], "action": "greedy"},
        "strategy": {"name": "CMA_ES", "std": 0.2},
        "population": 32,
        "policies": 1,
        "episodes": 2,
        "generations": 300,
        "target": 1800,
    },
}
DISTILLATIONS = {
    "CartPole-v1": {"encoding": {"size": 2}, "generations": 6},
    "hopper": {"encoding": {"size": 4}},
}


def main(env="CartPole-v1", teacher=None, distillation=None):
    """Return the teacher's run and the run of the pairs."""
    weights = neuroevo.evolve(
        env=env, encoding="direct", **TEACHERS[env] | (teacher or {})
    )
    pairs = neuroevo.distill(weights, **DISTILLATIONS[env] | (distillation or {}))
    for name, run in {"weights": weights, "pairs": pairs}.items():
        spent = f"{run.counters.env_steps} environment steps"
        print(f"{name}: {run.evaluate(16, 8)['return_mean']:.1f} after {spent}")
    return weights, pairs


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Distill a policy whose weights were evolved into a few state-action pairs.

    python examples/distillation.py

The teacher is a search over weights; the pairs come from gradients through the training
of fresh networks on them.
"""

import neuroevo


def main(teacher=None, distillation=None):
    """Return the teacher's run and the run of the pairs."""
    weights = neuroevo.evolve(
        env="CartPole-v1", encoding="direct", **{"target": 495} | (teacher or {})
    )
    pairs = neuroevo.distill(
        weights,
        encoding={"size": 2},
        **{"generations": 6, "strategy": {"generations": 6}} | (distillation or {}),
    )
    for name, run in {"weights": weights, "pairs": pairs}.items():
        spent = f"{run.counters.env_steps} environment steps"
        print(f"{name}: {run.evaluate(16, 8)['return_mean']:.1f} after {spent}")
    return weights, pairs


if __name__ == "__main__":
    main()

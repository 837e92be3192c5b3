"""Ten images that teach digits: evolved from the means of the classes.

python examples/digits.py

A network that is trained on the ten images recognizes handwritten digits that it has
never seen. The search measures candidates on the training split and chooses the best
center on the validation split. The test split is used only for the accuracies that are
printed. ``python benchmarks/supervised_baselines.py digits`` tells what other images
are worth.
"""

from collections.abc import Sequence
from typing import Any

import neuroevo

POLICY = {"name": "mlp", "activation": "relu", "kernel_init": "lecun"}


def main(
    generations: int = 100,
    widths: Sequence[int] = (64, 256),
    batch_size: int = 512,
    **options: Any,
) -> neuroevo.Run:
    """Evolve images that train the first of `widths`, and try them on the others."""
    run = neuroevo.evolve(
        env={"name": "digits", "metric": "cross_entropy", "batch_size": batch_size},
        encoding={"name": "dataset", "size": 10, "init_from": "mean"},
        policy=POLICY | {"hidden": [widths[0]]},
        strategy={"name": "SNES", "std": 0.1},
        policies=2,
        generations=generations,
        **options,
    )
    for width in widths:
        policy = POLICY | {"hidden": [width]}
        result = neuroevo.load(run, policy=policy).evaluate(policies=8, seed=0)
        print(
            f"networks with a layer of {width}: {result['return_mean']:.1f} % of the "
            f"test images, ± {result['return_std_policies']:.1f} over networks"
        )
    return run


if __name__ == "__main__":
    main()

"""Two state-action pairs that teach any network to balance CartPole.

python examples/cartpole_two_pairs.py
"""

import neuroevo

LARGER = {"hidden": (256, 256, 256), "activation": "relu"}


def main(
    generations: int = 60,
    population: int = 64,
    policies: int = 8,
    file="pairs.npz",
    **options,
):
    """Evolve the pairs; train `policies` fresh networks of two kinds on them."""
    run = neuroevo.evolve(
        env="CartPole-v1",
        encoding={"name": "dataset", "size": 2},
        population=population,
        generations=generations,
        target=495,  # held-out return of the center, reached twice in a row
        display=True,
        **options,
    )
    found = run.best

    print("\nThe pairs: position, velocity, angle, angular velocity -> action")
    arrays = found.arrays()
    for state, label in zip(arrays["states"], arrays["labels"], strict=True):
        action = ("left", "right")[int(label)]
        print("  ", *(f"{number:+7.2f}" for number in state), "->", action)

    # The search never saw these initializations and episodes.
    result = found.evaluate(policies=policies, episodes=8)
    print(f"\n{policies} fresh networks trained on them:", _show(result))

    # A genome file holds the pairs and the options for training on them. Networks of
    # other architectures can be trained on the same pairs.
    found.save(file)
    larger = neuroevo.load(file, policy=LARGER)
    transferred = larger.evaluate(policies=policies, episodes=8)
    print(f"{policies} networks of another architecture:", _show(transferred))
    return result, transferred


def _show(result) -> str:
    return f"return {result['return_mean']:.1f} ± {result['return_std']:.1f}"


if __name__ == "__main__":
    main()

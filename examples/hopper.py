"""Four state-action pairs that teach a robot to hop: brax's hopper.

python examples/hopper.py

The genome is 56 numbers: four states of 11 numbers, four actions of 3. Decoding it
trains a network with about 270 000 parameters. You can stop the run with Ctrl-C at any
time and continue with ``neuroevo resume`` or ``neuroevo evaluate``.
"""

import neuroevo


def main(
    generations: int = 200,
    population: int = 32,
    run_dir="runs/hopper-four-pairs",
    steps: int = 200,
    hidden: tuple[int, ...] = (512, 512),
    episode_length: int = 1000,
    episodes: int = 2,
    final_policies: int = 4,
    **options,
):
    """Evolve four pairs for hopper, and evaluate networks trained on them."""
    run = neuroevo.evolve(
        env={"name": "hopper", "episode_length": episode_length},
        encoding={"name": "dataset", "size": 4, "steps": steps, "learning_rate": 5e-3},
        policy={"name": "mlp", "hidden": hidden},
        normalization="running",  # shared statistics of all observations
        strategy={"name": "CMA_ES", "std": 0.1},
        population=population,
        generations=generations,
        policies=2,  # networks trained on each candidate
        episodes=episodes,  # that each network plays
        final_policies=final_policies,
        final_episodes=episodes,
        run_dir=run_dir,
        display=True,
        **options,
    )
    summary = run.summary
    if "best_return_mean" in summary:  # not after Ctrl-C
        print(f"best center: {summary['best_return_mean']:.0f} on fresh networks")
    return run


if __name__ == "__main__":
    main()

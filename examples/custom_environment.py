"""A custom environment: dock a spacecraft with four state-action pairs.

python examples/custom_environment.py

An environment is a value that holds two pure functions for a single episode. The engine
takes care of batching, of the time limit, and of stopping once all episodes have ended.
"""

import jax
import jax.numpy as jnp

import neuroevo

LIMIT = 4.0  # an episode ends once the craft is farther away than this


def docking(max_steps: int = 100) -> neuroevo.Environment:
    """Return a point mass in the plane with thrusters, to be brought to rest at (0, 0).

    Each step gives a reward of up to 1, higher the closer the craft is.
    """

    def reset(key):
        position_key, velocity_key = jax.random.split(key)
        position = jax.random.uniform(position_key, (2,), minval=-2.0, maxval=2.0)
        velocity = 0.1 * jax.random.normal(velocity_key, (2,))
        state = jnp.concatenate([position, velocity])
        return state, state  # the policy sees the whole state

    def step(key, state, action):
        position, velocity = state[:2], state[2:]
        velocity = velocity + 0.1 * action  # actions arrive in [-1, 1]
        position = position + 0.2 * velocity
        state = jnp.concatenate([position, velocity])
        distance = jnp.linalg.norm(position)
        return state, state, jnp.exp(-2 * distance), distance > LIMIT

    spec = neuroevo.Spec(observation=(4,), action=neuroevo.Box((2,)))
    return neuroevo.Environment(spec, reset, step, max_steps)


def main(generations: int = 60, population: int = 64, max_steps: int = 100, **options):
    """Evolve pairs that teach docking, and evaluate fresh policies trained on them."""
    run = neuroevo.evolve(
        env=docking(max_steps),
        encoding={"name": "dataset", "size": 4},
        population=population,
        generations=generations,
        display=True,
        **options,
    )
    result = run.evaluate(policies=8, episodes=8)
    print(f"return {result['return_mean']:.1f} of at most {max_steps}")
    print("position, velocity -> thrust")
    pairs = run.genome
    for state, thrust in zip(pairs["states"], pairs["actions"], strict=True):
        print("  ", _show(state), "->", _show(thrust))
    return result


def _show(numbers) -> str:
    return " ".join(f"{number:+6.2f}" for number in numbers)


if __name__ == "__main__":
    main()

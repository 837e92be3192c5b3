"""Train a teacher for a MinAtar game with PPO, and distill it into a few pairs.

    python examples/teacher_minatar.py Breakout-MinAtar 3000000 16
    python examples/teacher_minatar.py ENV STEPS PAIRS SEED [FILE] [gpu]

The teacher is linear, and so are its students: what a few pairs teach a linear network
can be any of its weights, whatever it was initialized with. FILE is where the teacher's
weights go, as a genome of the direct encoding, which ``neuroevo distill FILE`` takes,
too: see docs/distillation.md. With ``gpu``, PPO plays in 2048 environments at once, and
150 M steps take a minute or two.
"""

import sys

import flax.linen as nn
import jax
import ppo

import neuroevo
from neuroevo.environments.gymnax import suite

SIZES = {"cpu": ppo.Sizes(64, 128, 8), "gpu": ppo.Sizes(2048, 32, 16)}
RATE = 5e-3
# The decoder's learning rate, and how many generations there are. The more cells of a
# board are not empty, the more a weight counts.
DECODERS = {"SpaceInvaders-MinAtar": (0.3, 150)}
DECODER = 1.0, 60
DISTILLATION = {  # from a few episodes, and then from what many students see
    "policy": {"name": "mlp", "hidden": []},
    "normalization": "none",
    "strategy": {"relabel_every": 1, "relabel_policies": 64},
    "population": 1,
    "center_every": 10,
    "center_policies": 16,
    "final_policies": 24,
    "final_episodes": 4,
}


class ActorCritic(nn.Module):
    """Logits of the actions, which are linear, and the value of an observation."""

    actions: int

    @nn.compact
    def __call__(self, observation):
        """Return both for observations (…, height, width, channels)."""
        x = observation.reshape(*observation.shape[:-3], -1)
        logits = nn.Dense(self.actions, kernel_init=nn.initializers.zeros)(x)
        for _ in range(2):
            x = nn.relu(nn.Dense(64)(x))
        value = nn.Dense(1, kernel_init=nn.initializers.orthogonal(0.01))(x)
        return logits, value[..., 0]


def main(
    env="Breakout-MinAtar",
    steps=3_000_000,
    pairs=16,
    seed=0,
    file="teacher.npz",
    sizes="cpu",
    **distillation,
):
    """Return the run that distills a teacher."""
    environment = suite.config(env)().build()
    network = ActorCritic(environment.spec.action.n)
    train = ppo.trainer(environment, network, int(steps), SIZES[sizes], RATE)
    params, rewards = train(jax.random.key(int(seed)))
    print(f"PPO: {rewards[-10:].mean():.1f} rewards in an episode")
    ppo.save({"output": params["Dense_0"]}, env, DISTILLATION["policy"], file)
    learning_rate, generations = DECODERS.get(env, DECODER)
    decoder = {"labels": "learned", "learning_rate": learning_rate}
    options = DISTILLATION | {
        "encoding": {"size": int(pairs)} | decoder,
        "generations": generations,
        "seed": int(seed),
    }
    return neuroevo.distill(file, env=env, **options | distillation)


if __name__ == "__main__":
    run = main(*sys.argv[1:])
    print(run.summary["best_return_mean"])

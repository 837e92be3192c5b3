"""Train a teacher with brax's PPO, and distill it.

    python examples/teacher_ppo.py hopper 20000000
    python examples/teacher_ppo.py ENV STEPS [FOLDER]

brax writes checkpoints of its networks to FOLDER; neuroevo reads the latest. The same
from the command line: ``neuroevo distill FOLDER --env hopper --encoding.size 4``.
"""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from brax import envs
from brax.training.agents.ppo import networks, train

import neuroevo


def replicated(tree, devices):
    """Return `tree` with a leading axis for the devices."""
    return jax.tree.map(lambda x: jnp.stack([x] * len(devices)), tree)


# brax 0.14 calls this function, which JAX 0.10 no longer has.
jax.device_put_replicated = replicated


COMMON = {
    "num_envs": 256,
    "batch_size": 256,
    "num_minibatches": 8,
    "unroll_length": 10,
    "num_updates_per_batch": 8,
    "reward_scaling": 0.1,
    "learning_rate": 3e-4,
    "entropy_cost": 1e-3,
    "discounting": 0.99,
    "num_evals": 10,
    "num_eval_envs": 32,
    "normalize_observations": True,
}
# What suits an environment better. Ant and humanoid are for a GPU.
OWN = {
    "hopper": {
        "num_envs": 1024,
        "batch_size": 512,
        "num_minibatches": 16,
        "unroll_length": 20,
        "learning_rate": 1e-3,
    },
    "ant": {
        "num_envs": 4096,
        "batch_size": 2048,
        "num_minibatches": 32,
        "unroll_length": 5,
        "num_updates_per_batch": 4,
        "reward_scaling": 10.0,
        "discounting": 0.97,
        "entropy_cost": 1e-2,
        "num_evals": 6,
        "seed": 1,
    },
    "humanoid": {
        "num_envs": 2048,
        "batch_size": 1024,
        "num_minibatches": 32,
        "discounting": 0.97,
        "num_evals": 7,
        "seed": 1,
        "learning_rate": 1e-3,
    },
    "reacher": {"unroll_length": 20, "reward_scaling": 1.0, "discounting": 0.95},
    "inverted_double_pendulum": {"reward_scaling": 1.0, "discounting": 0.97},
}
# Hidden layers of the policy and of the value. A linear policy has none, and is easy to
# teach.
HIDDEN = {
    "hopper": ((), (128,) * 4),
    "ant": ((128, 128), (256,) * 5),
    "humanoid": ((), (128,) * 4),
}
SMALL = (64, 64), (128, 128)
# The students of a linear teacher are linear, too.
LINEAR = {"policy": {"name": "mlp", "hidden": []}}
DECODER = {"learning_rate": 0.05, "steps": 128}
DISTILLATIONS = {
    "hopper": LINEAR
    | {
        "encoding": {"size": 4} | DECODER,
        "generations": 80,
        "center_every": 4,
        "center_policies": 24,
    },
    "humanoid": LINEAR
    | {
        "encoding": {"size": 16} | DECODER,
        "population": 1,
        "generations": 30,
        "center_policies": 16,
    },
}


def teach(env, steps, folder, **options):
    """Train a policy for `steps` environment steps, and write it to `folder`."""
    policy, value = HIDDEN.get(env, SMALL)
    factory = functools.partial(
        networks.make_ppo_networks,
        policy_hidden_layer_sizes=policy,
        value_hidden_layer_sizes=value,
    )
    train.train(
        environment=envs.get_environment(env, backend="positional"),
        num_timesteps=steps,
        episode_length=1000,
        save_checkpoint_path=str(Path(folder).absolute()),
        max_devices_per_host=1,
        progress_fn=_report,
        **COMMON | {"network_factory": factory} | OWN.get(env, {}) | options,
    )


def _report(steps, metrics):
    print(f"{steps} steps: return {metrics['eval/episode_reward']:.0f}", flush=True)


def main(env="hopper", steps=20_000_000, folder="ppo", teacher=None, distillation=None):
    """Return the run that distills a teacher."""
    teach(env, int(steps), folder, **teacher or {})
    options = DISTILLATIONS.get(env, {"encoding": {"size": 4}})
    return neuroevo.distill(folder, env=env, **options | (distillation or {}))


if __name__ == "__main__":
    run = main(*sys.argv[1:])
    print(run.summary["best_return_mean"])

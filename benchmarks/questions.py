"""What the reviewers of HaDES asked, as experiments.

    python benchmarks/questions.py discovery --seeds 3
    python benchmarks/questions.py sizes
    python benchmarks/questions.py gradients --seeds 3
    python benchmarks/questions.py differences

Is a set of pairs hard to discover, or only to compress? How many pairs does it take?
Why evolution, if the gradient of the return can be estimated, too? How do the policies
of a set differ from their teacher? Each experiment prints a table in Markdown; the
results are in docs/questions.md.
"""

import argparse
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import brax.envs
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.stats import wasserstein_distance

import neuroevo
from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.core import keys
from neuroevo.core.evaluation import act_with
from neuroevo.environments.brax import suite
from neuroevo.returns import summarize
from neuroevo.run.launch import launch
from neuroevo.run.run import Run
from neuroevo.run.switches import pinned
from neuroevo.studies.distill import refinement

TEACHER, ENV, BACKEND = "zoo:hopper-d4", "hopper", "positional"
POLICIES, EPISODES = 24, 4  # that measure a result
FINAL = {"final_policies": POLICIES, "final_episodes": EPISODES}
# A search over four pairs like those in SEARCH.md.
SEARCH = {
    "env": ENV,
    "policy": {"name": "mlp", "action": "greedy"},
    "normalization": "constant",
    "strategy": {"name": "CMA_ES", "std": 0.5},
    "population": 32,
    "policies": 2,
    "episodes": 1,
} | FINAL
GENERATIONS = 25  # of evolution after gradients
CARTPOLE = {"env": "CartPole-v1", "encoding": {"name": "dataset", "size": 2}}
NETWORKS, UPDATES, DISCOUNT = 8, 20, 0.99  # of the policy gradient


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table in Markdown, row by row as they are found."""
    print(f"| {' | '.join(head)} |")
    print(f"|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def in_words(found: Mapping[str, Any]) -> tuple[str, str]:
    """Return mean and 95 % interval of returns, and the mean of the worst policy."""
    low, high = found["return_interval"]
    mean = f"{found['return_mean']:.0f} ({low:.0f} to {high:.0f})"
    return mean, f"{min(found['return_per_policy']):.0f}"


def held_out(run: Run) -> tuple[str, str]:
    """Return the result of a run's best center on policies that no search has used."""
    return in_words(run.evaluate(POLICIES, EPISODES, seed=run.config.settings.seed))


def millions(steps: float) -> str:
    """Return a number of environment steps."""
    return f"{steps / 1e6:.2f} M"


def discovery(asked: argparse.Namespace, folder: Path) -> None:
    """Compare pairs from a teacher's rows, by gradients and by evolution."""
    lesson = folder / "rows.npz"
    taught = len(neuroevo.collect(TEACHER, lesson, episodes=8)["observations"])
    neuroevo.save_policy(TEACHER, folder / "teacher.npz")

    def searched(seed: int, steps: int, **encoding: Any) -> Run:
        """Evolve with this many environment steps, and no more than a generation."""
        options = SEARCH | {"encoding": {"name": "dataset", "size": 4} | encoding}
        if encoding:
            options["rows"] = str(lesson)
        limits = {"generations": None, "max_env_steps": steps}
        return neuroevo.evolve(seed=seed, **limits, **options)

    def found() -> Iterable[Sequence[Any]]:
        for seed in range(asked.seeds):
            for kind, name in (("sample", "random rows"), ("kmeans", "k-means")):
                chosen = drawn_pairs(kind, seed, lesson)
                yield name, seed, millions(taught), *in_words(summarize(chosen))
            run = neuroevo.distill(
                folder / "teacher.npz",
                env=ENV,
                encoding={"name": "dataset", "size": 4},
                seed=seed,
                **FINAL,
            )
            steps = taught + run.counters.env_steps
            yield "gradients", seed, millions(steps), *held_out(run)
            start, config = refinement(run, GENERATIONS)
            refined = launch(config, None, start=start)
            steps += refined.counters.env_steps
            row = "gradients, then evolution", seed, millions(steps)
            yield *row, *held_out(refined)
            run = searched(seed, steps - taught, init_from="kmeans")
            spent = millions(taught + run.counters.env_steps)
            yield "k-means, then evolution", seed, spent, *held_out(run)
            run = searched(seed, steps)
            yield "evolution", seed, millions(run.counters.env_steps), *held_out(run)

    table(["pairs", "seed", "environment steps", "return", "worst network"], found())


def drawn_pairs(kind: str, seed: int, rows: Path) -> np.ndarray:
    """Return the returns (S, E) of networks trained on four pairs of a teacher."""
    pairs = {"encoding": {"name": "dataset", "size": 4, "init_from": kind}}
    options = SEARCH | pairs | {"rows": str(rows)}
    run = Run(resolve.resolve([Layer("questions", options)]))
    first = keys.search(seed)
    genome = jax.tree.map(lambda x: x[None], run.parts.encoding.init(first.genome))
    return np.asarray(
        run.engine.evaluate(
            genome,
            run.parts.task.init(first.warm_up),
            keys.policy_keys(keys.evaluation(seed), POLICIES),
            episodes=EPISODES,
        ).returns[0]
    )


def sizes(asked: argparse.Namespace, folder: Path) -> None:
    """Distill sets of 1 to 64 pairs."""
    del folder

    def found() -> Iterable[Sequence[Any]]:
        for size in (1, 2, 4, 8, 16, 32, 64):
            for seed in range(asked.seeds):
                encoding = {"name": "dataset", "size": size}
                run = neuroevo.distill(TEACHER, encoding=encoding, seed=seed, **FINAL)
                seconds = f"{run.counters.seconds:.0f} s"
                yield size, seed, *held_out(run), seconds

    table(["pairs", "seed", "return", "worst network", "time"], found())


def gradients(asked: argparse.Namespace, folder: Path) -> None:
    """Compare evolution with policy gradients through the training, on CartPole."""
    del folder
    marks = [int(mark * 1e6) for mark in (0.1, 0.3, 1)]

    def found() -> Iterable[Sequence[Any]]:
        for seed in range(asked.seeds):
            # Generations do not end at the marks: each takes the next evaluation.
            run = neuroevo.evolve(
                generations=None,
                max_env_steps=marks[-1] + 200_000,
                center_every=1,
                final_policies=0,
                seed=seed,
                **CARTPOLE,
            )
            curve = [(row["env_steps"], row["center_return"]) for row in run.metrics]
            yield "evolution (SNES)", seed, *at_marks(curve, marks)
            for rate in (0.01, 0.03, 0.1):
                curve = policy_gradient(run, marks[-1], rate, seed)
                yield f"gradients, Adam {rate:g}", seed, *at_marks(curve, marks)

    table(["search", "seed", *map(millions, marks)], found())


def at_marks(curve: Sequence[tuple[float, float]], marks: Sequence[int]) -> list[str]:
    """Return the first return of a curve of (steps, return) at or after each mark."""
    steps, returns = map(np.array, zip(*curve, strict=True))
    return [
        f"{returns[min(np.searchsorted(steps, m), len(steps) - 1)]:.0f}" for m in marks
    ]


def policy_gradient(
    run: Run, budget: int, rate: float, seed: int
) -> list[tuple[int, float]]:
    """Descend on pairs by REINFORCE through the training (Williams, 1992).

    Fresh networks are trained on the pairs in every step and play an episode each. The
    advantage of an action is its discounted return, normalized over all steps.

    Args:
        run: the parts, and what measures the pairs.
        budget: environment steps.
        rate: learning rate of Adam on the pairs.
        seed: seed of pairs, networks and episodes.

    Returns:
        The environment steps after each update, and the return of the pairs on the
        policies and episodes with which a run measures its center.
    """
    encoding, policy = run.parts.encoding, run.parts.policy
    environment, state = run.parts.environment, run.parts.task.init(keys.warm_up(seed))
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))

    def played(params: Any, key: Any) -> tuple[Any, Any, Any, Any]:
        start, moves = jax.random.split(key)
        now, observation = environment.reset(start)

        def step(carry: Any, key: Any) -> tuple[Any, Any]:
            now, seen, alive = carry
            act, move = jax.random.split(key)
            action = jax.random.categorical(act, policy.apply(params, seen))
            now, after, reward, done = environment.step(move, now, action)
            return (now, after, alive & ~done), (seen, action, reward, alive)

        begin = now, observation, jnp.bool_(True)
        steps = jax.random.split(moves, environment.max_steps)
        return jax.lax.scan(step, begin, steps)[1]

    def discounted(rewards: Any) -> Any:
        def back(total: Any, reward: Any) -> tuple[Any, Any]:
            total = reward + DISCOUNT * total
            return total, total

        return jax.lax.scan(back, 0.0, rewards, reverse=True)[1]

    def objective(genome: Any, key: Any) -> tuple[Any, Any]:
        decoding, playing = jax.random.split(key)
        start = jax.vmap(encoding.start)(jax.random.split(decoding, NETWORKS))
        params = jax.vmap(encoding.decode, (None, 0))(genome, start)
        fixed = jax.lax.stop_gradient(params)
        seen, actions, rewards, alive = jax.vmap(played)(
            fixed, jax.random.split(playing, NETWORKS)
        )
        # After its end an episode goes on, and may overflow.
        seen = jnp.where(alive[..., None], seen, 0)
        rewards = jnp.where(alive, rewards, 0)
        after = jax.vmap(discounted)(rewards)
        mean = jnp.mean(after, where=alive)
        spread = jnp.std(after, where=alive)
        advantage = jnp.where(alive, (after - mean) / (spread + 1e-6), 0)
        logits = jax.vmap(jax.vmap(policy.apply, (None, 0)))(params, seen)
        chosen = jnp.take_along_axis(
            jax.nn.log_softmax(logits), actions[..., None], axis=-1
        )
        return -jnp.sum(chosen[..., 0] * advantage) / alive.sum(), alive.sum()

    @jax.jit
    def update(genome: Any, moments: Any, key: Any) -> tuple[Any, Any, Any]:
        gradient, used = jax.grad(objective, has_aux=True)(genome, key)
        updates, moments = optimizer.update(gradient, moments, genome)
        return optax.apply_updates(genome, updates), moments, used

    key, drawn = jax.random.split(keys.stream("questions", seed))
    # Pairs that are all zero give Adam a zero gradient, whose root has no derivative.
    std = run.config.parts["strategy"].std
    genome = jax.tree.map(
        lambda x: x + std * jax.random.normal(drawn, x.shape),
        encoding.init(keys.search(seed).genome),
    )
    moments, used = optimizer.init(genome), 0
    curve = []
    while used < budget:
        for _ in range(UPDATES):
            key, drawn = jax.random.split(key)
            genome, moments, steps = update(genome, moments, drawn)
            used += int(steps)
        measured = run.engine.evaluate(
            jax.tree.map(lambda x: x[None], genome),
            state,
            keys.policy_keys(keys.evaluation(used), 8),
            episodes=8,
        )
        curve.append((used, float(measured.returns.mean())))
    return curve


def differences(asked: argparse.Namespace, folder: Path) -> None:
    """Compare the policies of a set with their teacher, where things are different."""
    teacher = folder / "teacher.npz"
    neuroevo.save_policy(TEACHER, teacher)
    run = neuroevo.distill(
        teacher, env=ENV, encoding={"name": "dataset", "size": asked.size}
    )
    sources = {"teacher": (teacher, 1), "its students": (run, POLICIES)}
    brax_env = brax.envs.get_environment(ENV, backend=BACKEND)

    def found() -> Iterable[Sequence[Any]]:
        for name, environment in conditions(brax_env):
            cells = []
            for source, policies in sources.values():
                each = neuroevo.load(source, env=environment)
                episodes = POLICIES * EPISODES // policies
                cells += in_words(each.evaluate(policies, episodes, seed=0))
            yield name, *cells

    head = [cell for name in sources for cell in (name, "worst network")]
    table(["condition", *head], found())
    print()
    seen = {
        "teacher, other episodes": visited(neuroevo.load(teacher), 1, 8, seed=1),
        "students": visited(run.best, 8, 1, seed=0),
        "networks of the teacher's own set": visited(neuroevo.load(TEACHER), 8, 1, 0),
    }
    reference = visited(neuroevo.load(teacher), 1, 8, seed=0)
    rows = ((name, f"{distance(reference, each):.3f}") for name, each in seen.items())
    table(["states against the teacher's", "distance"], rows)


def conditions(env: Any) -> Iterable[tuple[str, neuroevo.Environment]]:
    """Return environments that differ from `env`, a brax environment, by name."""
    plain = suite.wrap(env)
    yield "as trained", plain
    for std in (0.1, 0.3):
        yield f"noise of {std:g} on actions", with_noise(plain, std, 0)
    for std in (0.03, 0.1):
        yield f"noise of {std:g} on observations", with_noise(plain, 0, std)
    for factor in (0.8, 1.2):
        other = suite.wrap(env, randomize=(f"mass:{factor}:{factor}",))
        yield f"{factor - 1:+.0%} mass", other


def with_noise(
    environment: neuroevo.Environment, on_actions: float, on_observations: float
) -> neuroevo.Environment:
    """Return the environment with Gaussian noise of these standard deviations."""

    def step(key: Any, state: Any, action: Any) -> tuple[Any, Any, Any, Any]:
        own, first, second = jax.random.split(key, 3)
        action = action + on_actions * jax.random.normal(first, action.shape)
        action = jnp.clip(action, -1, 1)
        state, seen, reward, done = environment.step(own, state, action)
        seen = seen + on_observations * jax.random.normal(second, seen.shape)
        return state, seen, reward, done

    return environment._replace(step=step)


def visited(solution: Any, policies: int, episodes: int, seed: int) -> np.ndarray:
    """Return the observations (R, *observation) of a solution's policies."""
    params = [solution.decode(s) for s in range(policies)]
    params = jax.tree.map(lambda *each: jnp.stack(each), *params)
    drawn = jax.random.split(keys.collection(seed), (policies, episodes))
    act = act_with(solution.parts.policy)
    task = solution.parts.task
    return task.collect(act, params, solution.answer.task, drawn).observations


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean over dimensions of the Wasserstein distance in deviations."""
    spread = first.std(axis=0) + 1e-6
    columns = zip((first / spread).T, (second / spread).T, strict=True)
    return float(np.mean([wasserstein_distance(*each) for each in columns]))


EXPERIMENTS = {
    "discovery": discovery,
    "sizes": sizes,
    "gradients": gradients,
    "differences": differences,
}


@pinned()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--seeds", type=int, default=1, help="searches of each kind")
    parser.add_argument("--size", type=int, default=4, help="pairs of `differences`")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        EXPERIMENTS[asked.experiment](asked, Path(folder))


if __name__ == "__main__":
    main()

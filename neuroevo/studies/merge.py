"""Merged data sets: one policy, trained on the data of several environments.

These are the multi-task data sets of "Behaviour Distillation" (HaDES, Lupu et al., ICLR
2024, arXiv 2406.15042). Data sets that were evolved separately, each in its own
environment, are concatenated, with states and actions zero-padded to common shapes. A
fresh policy that is trained on the merged set then acts in each of the environments.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuroevo import loading
from neuroevo.config.command import DECODING, TRAINING, Command
from neuroevo.config.layers import Layer
from neuroevo.config.schema import PARTS, Config
from neuroevo.errors import UserError
from neuroevo.policies.networks import CNN
from neuroevo.run import switches
from neuroevo.solution import Solution, drawn, without_seeds
from neuroevo.spaces import Box, Spec, common_spec, in_words, one_hot, outputs, pad
from neuroevo.store import genome_file
from neuroevo.store.files import check_new_file, flatten
from neuroevo.store.genome_file import GenomeFile

TARGETS = ("actions", "labels", "action_logits")
IMPOSSIBLE = -1e9  # the logit of an action with probability zero, exactly in float32
_NETWORK = ("encoding", "policy")  # the parts that all environments share


@dataclasses.dataclass(frozen=True)
class Merged:
    """A merged data set, and the genomes that it was merged from.

    Attributes:
        solutions: the merged genome in each of the environments, by name; a repeated
            environment gets ``-2`` after its name.
        own: the genomes that were merged, by the same names.
        sources: the files of these genomes.
        disagreements: options in which the genomes differ, with the value of each
            genome; the first value is used.
    """

    solutions: Mapping[str, Solution]
    own: Mapping[str, Solution]
    sources: Mapping[str, Path]
    disagreements: Mapping[str, Sequence[Any]]

    @without_seeds
    def evaluate(
        self, policies: int = 8, episodes: int = 8, *, seed: int | None = None
    ) -> dict[str, dict[str, Any]]:
        """Measure fresh policies in each environment.

        The i-th policies have the same parameters in all environments.

        Args:
            policies: number of policies.
            episodes: number of episodes of each policy in each environment.
            seed: seed of the policies and episodes; None draws a new one.

        Returns:
            For each environment, the result of `Solution.evaluate`, and under ``own``
            the result of the environment's original genome, with the same seed.
        """
        seed, results = drawn(seed), {}
        for name, solution in self.solutions.items():
            own = self.own[name].evaluate(policies, episodes, seed=seed)
            own = {"genome": str(self.sources[name])} | own
            result = solution.evaluate(policies, episodes, seed=seed)
            results[name] = result | {"own": own}
        return results

    def save(self, path: str | Path) -> None:
        """Write one genome file for all environments.

        Raises:
            UserError: if the file already exists, or its directory does not.
        """
        path = Path(path)
        check_new_file(path, (".npz",))
        files = {
            name: GenomeFile(path, solution.arrays(), solution.meta())
            for name, solution in self.solutions.items()
        }
        joined = genome_file.join(path, files)
        genome_file.save(path, joined.arrays, joined.meta)


def network_layers(layers: Sequence[Layer]) -> list[Layer]:
    """Return the options of the encoding and the policy in `layers`."""
    return [
        Layer(
            source,
            {k: v for k, v in values.items() if str(k).partition(".")[0] in _NETWORK},
        )
        for source, values in layers
    ]


def read_genomes(sources: Sequence[loading.Source]) -> list[GenomeFile]:
    """Return the content of the genomes to merge.

    Raises:
        UserError: if one is not a data set, or does not say how to decode it.
    """
    if len(sources) < 2:
        raise UserError(f"expected at least two genomes to merge, got {len(sources)}")
    files = [loading.read_source(each) for each in sources]
    for path, arrays, meta, _ in files:
        if meta.keys() & {"tasks", "spec"}:
            raise UserError(
                f"{path}: already merged; expected the genomes that it was merged from"
            )
        missing = ", ".join(part for part in DECODING if part not in meta)
        if missing:
            raise UserError(
                f"{path}: has no {'' if meta else 'meta, and thus no '}{missing}; "
                "expected a genome file that says how to decode it"
            )
        known = {"states", *TARGETS, *genome_file.OBSERVATION_ARRAYS}
        if "states" not in arrays or arrays.keys() - known:
            raise UserError(
                f"{path}: not a data set genome: expected states and one of "
                f"{', '.join(TARGETS)}, found {', '.join(sorted(arrays)) or 'nothing'}"
            )
    return files


@switches.pinned()
def merge_files(
    files: Sequence[GenomeFile],
    layers: Sequence[Layer] = (),
    arguments: Sequence[str] = (),
    *,
    command: Command = TRAINING,
) -> Merged:
    """Merge the content of `files`.

    Args:
        files: from `read_genomes`.
        layers: options of the encoding and the policy.
        arguments: the words of a command line, which win over all layers.
        command: what these are the words of.

    Raises:
        UserError: as `merge` does.
    """
    _check_options(layers)
    shared = [_with_network(file, files[0]) for file in files]
    configs = [
        loading.configure(file, layers, arguments, command=command)[0]
        for file in shared
    ]
    settings = configs[0].settings
    own_configs = [
        dataclasses.replace(
            loading.configure(file, command=command)[0], settings=settings
        )
        for file in files
    ]
    own = list(map(loading.prepare, own_configs, files))
    for file, each in zip(files, own, strict=True):
        if each.parts.policy.init_memory is not None:
            raise UserError(
                f"{file.path}: policy {each.config.names['policy']} has a memory, and "
                "sequences cannot be merged; expected data sets for policies without"
            )
    names = _names([resolved.names["env"] for resolved in configs])
    specs = [each.parts.environment.spec for each in own]
    _check_specs(specs, names, configs[0].parts["policy"])
    wide = common_spec(specs)
    genomes = [
        {**each.parts.encoding.constants, **genome_file.to_arrays(each.genome)}
        for each in own
    ]
    arrays = concatenate(genomes, specs, wide)
    meta = {"spec": genome_file.from_spec(wide)}
    merged = [
        file._replace(arrays=arrays | genome_file.statistics(file.arrays), meta=meta)
        for file in files
    ]
    prepared = list(map(loading.prepare, configs, merged))
    # All checks are done; engines are made from here on.
    return Merged(
        solutions=_finish(names, prepared),
        own=_finish(names, own),
        sources=dict(zip(names, [file.path for file in files], strict=True)),
        disagreements=_disagreements(own_configs, configs[0], arrays),
    )


def _with_network(file: GenomeFile, first: GenomeFile) -> GenomeFile:
    """Return `file` with the encoding and the policy of `first`."""
    meta = {part: first.meta[part] for part in _NETWORK}
    made = {part: value for part, value in file.made.items() if part not in _NETWORK}
    made |= {part: first.made[part] for part in _NETWORK if part in first.made}
    return file._replace(meta={**file.meta, **meta}, made=made)


def _finish(
    names: Sequence[str], prepared: Sequence[loading.Prepared]
) -> dict[str, Solution]:
    """Return solutions by the names of their environments."""
    return {
        name: loading.finish(*each) for name, each in zip(names, prepared, strict=True)
    }


def concatenate(
    genomes: Sequence[Mapping[str, Any]], specs: Sequence[Spec], wide: Spec
) -> dict[str, np.ndarray]:
    """Return the rows of all `genomes`, padded to the shapes of `wide`.

    Labels stay labels if all genomes have labels. Otherwise they become logits of their
    probabilities, and an action that an environment lacks has probability zero.

    Args:
        genomes: arrays ``states`` (D, *observation), with ``actions`` (D, *action),
            ``labels`` (D,) or ``action_logits`` (D, n).
        specs: the specs of their environments.
        wide: a spec into which all of these fit.
    """
    states = _padded([genome["states"] for genome in genomes], wide.observation)
    if isinstance(wide.action, Box):
        actions = [genome["actions"] for genome in genomes]
        return {"states": states, "actions": _padded(actions, wide.action.shape)}
    if all("labels" in genome for genome in genomes):
        labels = np.concatenate([genome["labels"] for genome in genomes])
        return {"states": states, "labels": labels}
    logits = [_logits(*pair) for pair in zip(genomes, specs, strict=True)]
    padded = _padded(logits, outputs(wide), IMPOSSIBLE)
    return {"states": states, "action_logits": padded}


def _padded(
    sets: Sequence[Any], shape: tuple[int, ...], value: float = 0.0
) -> np.ndarray:
    """Return the rows of all `sets`, each padded to `shape`."""
    rows = [row for rows in sets for row in np.asarray(rows, np.float32)]
    return np.stack([pad(row, shape, value) for row in rows])


def _logits(genome: Mapping[str, Any], spec: Spec) -> np.ndarray:
    """Return (D, n) logits of the probabilities of a genome's actions."""
    if "action_logits" in genome:
        return np.asarray(genome["action_logits"])
    assert not isinstance(spec.action, Box)
    chosen = one_hot(np.asarray(genome["labels"]), spec.action)
    return np.where(chosen > 0, 0.0, IMPOSSIBLE)


def _names(envs: Sequence[str]) -> list[str]:
    """Return unique names of environments, with -2, -3, … for repeated ones."""
    names = []
    for i, env in enumerate(envs):
        before = envs[:i].count(env)
        names.append(f"{env}-{before + 1}" if before else env)
    return names


def _check_options(layers: Sequence[Layer]) -> None:
    """Raise a `UserError` for options that the genomes themselves determine."""
    given = [str(key) for _, values in layers for key in values]
    for option in given:
        part = option.partition(".")[0]
        if part in PARTS and part not in _NETWORK:
            raise UserError(
                f"{option}: each genome keeps its environment and "
                f"normalization; expected options of {' and '.join(_NETWORK)}"
            )


def _check_specs(specs: Sequence[Spec], names: Sequence[str], policy: Any) -> None:
    """Raise a `UserError` unless one `policy` can serve all `specs`."""
    first, name = specs[0], names[0]
    for spec, other in zip(specs[1:], names[1:], strict=True):
        both = f"{name} has {in_words(first)}, and {other} has "
        both += in_words(spec)
        if type(spec.action) is not type(first.action):
            raise UserError(f"actions of different kinds cannot be merged: {both}")
        if isinstance(policy, CNN) and spec.observation != first.observation:
            raise UserError(
                f"policy cnn needs images of one shape, but {both}; use --policy mlp"
            )


def _disagreements(
    own: Sequence[Config],
    merged: Config,
    arrays: Mapping[str, np.ndarray],
) -> dict[str, list[Any]]:
    """Return the options in which a genome differs from the first one.

    Options that the `arrays` determine, or that were overridden, are left out.
    """
    in_force = _network_options(merged, arrays)
    options = [_network_options(each, arrays) for each in own]
    return {
        name: [each.get(name) for each in options]
        for name, value in in_force.items()
        if options[0].get(name) == value
        and any(each.get(name, value) != value for each in options)
    }


def _network_options(
    resolved: Config, arrays: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the options of encoding and policy by dotted name."""
    encoding = resolved.parts["encoding"].fit_to(arrays)
    parts = {**resolved.parts, "encoding": encoding}
    fitted = dataclasses.replace(resolved, parts=parts).to_dict()
    return dict(flatten({part: fitted[part] for part in _NETWORK}))

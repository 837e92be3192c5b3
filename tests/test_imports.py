"""The architecture, enforced: who imports whom, and who knows of devices."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

import neuroevo

ROOT = Path(__file__).parents[1]
PACKAGES = ("neuroevo", "genomes")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))

# From the bottom up: a module imports from its own layer and from those below it.
LAYERS = [
    r"neuroevo(\.(errors|returns|cgroups|mailbox|progress))?",
    r"neuroevo\.(spaces|differences)",
    r"neuroevo\.types(\..*)?",
    r"neuroevo\.traits",
    # Functions over pytrees are for everyone, devices included.
    r"neuroevo\.(registry|multihost|core\.trees)",
    r"neuroevo\.(store\.(npz|files)|terminal\.formatting)",
    r"neuroevo\.devices",
    r"neuroevo\.(core|policies|strategies|environments|loggers)(\..*)?|genomes(\..*)?",
    r"neuroevo\.tasks(\..*)?",
    r"neuroevo\.config(\..*)?",
    r"neuroevo\.store(\..*)?",
    r"neuroevo\.run\.(cache_repair|parts|tracing|checks|build|outer_loss|tuning|compilation|switches)",
    r"neuroevo\.(solution|loading)",
    r"neuroevo\.run(\..*)?",
    r"neuroevo\.(studies|views|terminal)(\..*)?",
    r"neuroevo\.(api|analysis)",
    r"neuroevo\.cli(\..*)?",
    r"neuroevo\.(__main__|worker)",
]
# Still to be moved: nothing may be added here.
PENDING = {}
# Rooms with a stricter rule: all that they may import of ours, besides themselves.
CONTRACTS = {
    f"neuroevo.{name}"
    for name in ("types", "progress", "traits", "spaces", "differences", "errors")
}
ALLOWED = {
    r"neuroevo\.core(\..*)?": CONTRACTS - {"neuroevo.traits", "neuroevo.errors"}
    | {"neuroevo.devices"},
    r"neuroevo\.policies(\..*)?": CONTRACTS | {"neuroevo.registry"},
    # An adapter of foreign states selects and strengthens them as the engine does.
    r"neuroevo\.environments(\..*)?": CONTRACTS
    | {"neuroevo.registry", "neuroevo.store.npz", "neuroevo.core.trees"}
    | {"neuroevo.cgroups"},
    r"neuroevo\.strategies(\..*)?": CONTRACTS
    | {"neuroevo.registry", "neuroevo.core.trees"},
    r"neuroevo\.loggers(\..*)?": CONTRACTS | {"neuroevo.registry", "neuroevo.store"},
    r"neuroevo\.tasks(\..*)?": CONTRACTS
    | {"neuroevo.registry", "neuroevo.core", "neuroevo.store.npz"},
    r"genomes(\..*)?": CONTRACTS
    | {"neuroevo.registry", "neuroevo.core.keys", "neuroevo.core.bounds"}
    | {"neuroevo.policies.imitation"},
    r"neuroevo\.terminal\.formatting": set(),
    r"neuroevo\.config(\..*)?": CONTRACTS
    | {"neuroevo.registry", "neuroevo.store.files", "neuroevo.loggers.contract"},
}
DEVICES = {
    "pmap",
    "shard_map",
    "devices",
    "local_devices",
    "default_backend",
    "device_count",
    "local_device_count",
    "device_put",
    "Mesh",
    "NamedSharding",
    "PartitionSpec",
    "axis_index",
    "all_gather",
    "process_index",
    "process_count",
}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_name(file): ast.parse(file.read_text()) for file in FILES}


def imports(name: str) -> set[str]:
    """Return what a module imports, at the top or inside functions, by full name."""
    found = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
    return found


def of_ours(name: str) -> set[str]:
    ours = {m for m in imports(name) if m.partition(".")[0] in PACKAGES}
    return {m for m in ours if (name, m) not in PENDING}


def within(module: str, allowed: set[str]) -> bool:
    return any(module == a or module.startswith(f"{a}.") for a in allowed)


def test_every_module_is_seen():
    assert {
        "neuroevo.core.engine",
        "neuroevo.environments.brax.suite",
        "genomes.direct",
    } <= set(MODULES)


def layer(name: str) -> int:
    return next(i for i, each in enumerate(LAYERS) if re.fullmatch(each, name))


def room(name: str) -> str:
    """Return the package that a module lies in: ``neuroevo.core``, ``genomes``."""
    parts = name.split(".")
    return ".".join(parts[: 2 if parts[0] == "neuroevo" else 1])


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_one_way(name):
    assert [m for m in of_ours(name) if layer(m) > layer(name)] == []
    for pattern, allowed in ALLOWED.items():
        if re.fullmatch(pattern, name):
            stray = {m for m in of_ours(name) if not within(m, allowed | {room(name)})}
            assert not stray, f"{name} may import {sorted(allowed)}"


def test_no_imports_form_a_circle():
    left = {name: of_ours(name) & MODULES.keys() for name in MODULES}
    while free := [name for name, needed in left.items() if not needed & left.keys()]:
        for name in free:
            del left[name]
    assert not left


@pytest.mark.parametrize("name", MODULES)
def test_no_module_names_an_encoding_or_the_command_line(name):
    if name.startswith("neuroevo"):
        assert not {m for m in imports(name) if within(m, {"genomes"})}
        mentioned = [
            node.value
            for node in ast.walk(MODULES[name])
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert not [text for text in mentioned if re.match(r"genomes(\.\w+)?$", text)]
    if name != "neuroevo.__main__":
        assert "neuroevo.cli.main" not in imports(name)


def test_the_package_itself_imports_nothing():
    """The command line must be able to configure JAX before anything else."""
    assert imports("neuroevo") <= {"importlib.metadata", "lazy_loader", "typing"}


def test_every_public_name_is_there():
    """They are imported on first use; the stub that lists them is read for that."""
    assert {"evolve", "load", "Run", "Solution", "UserError"} <= set(neuroevo.__all__)
    for name in neuroevo.__all__:
        public = getattr(neuroevo, name)
        assert public.__name__ == name
        assert public.__doc__, f"{name} has no docstring"


def test_types_import_jax_only():
    names = [name for name in MODULES if within(name, {"neuroevo.types"})]
    found = {m for name in names for m in imports(name) if not is_standard(m)}
    found = {m for m in found if not within(m, {"neuroevo.types"})}
    ours = {f"neuroevo.{name}" for name in ("differences", "progress", "spaces")}
    assert found == {"jax", *ours}


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"neuroevo.devices"}))
def test_only_one_module_knows_devices(name):
    """No attribute of jax (or jax.sharding, jax.lax) that tells devices apart."""

    def root(node):
        while isinstance(node, ast.Attribute):
            node = node.value
        return node.id if isinstance(node, ast.Name) else None

    used = {
        node.attr
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.Attribute) and root(node) == "jax"
    }
    used |= {
        alias.name
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.ImportFrom) and node.module.startswith("jax")
        for alias in node.names
    }
    assert not used & DEVICES


# ------------------------------------------------------------- declared dependencies


def is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    optional = [each for name in extras.keys() - {"dev"} for each in extras[name]]
    return {
        re.match(r"[\w.-]+", requirement)[0].lower()
        for requirement in [*project["dependencies"], *optional]
    }


NAMED_OTHERWISE = {"mujoco_playground": "playground"}


def test_every_import_is_declared():
    used = {m.partition(".")[0] for name in MODULES for m in imports(name)}
    foreign = {m for m in used if not is_standard(m)} - {*PACKAGES}
    distributions = importlib.metadata.packages_distributions()
    for module in sorted(foreign):
        # An extra that is not installed has no distribution.
        name = NAMED_OTHERWISE.get(module, module.replace("_", "-"))
        owners = {owner.lower() for owner in distributions.get(module, [name])}
        assert owners & declared(), f"{module} (of {owners}) is not declared"


def test_every_dependency_has_a_floor():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [r for r in project["dependencies"] if ">=" not in r] == []

"""Registries: every part by name, and what a wrong name is told."""

import dataclasses
import importlib.metadata
import types

import pytest

from neuroevo import registry
from neuroevo.config.schema import PARTS
from neuroevo.errors import UserError, did_you_mean, unknown
from neuroevo.registry import Registry

ALL = [(part, name) for part, parts in PARTS.items() for name in parts.names()]


@pytest.mark.parametrize(("part", "name"), ALL)
def test_every_part_is_a_described_dataclass_with_defaults(part, name):
    cls = PARTS[part].get(name)
    assert dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen
    cls()  # every option has a default
    assert callable(cls.build)
    first, *_ = cls.__doc__.splitlines()
    assert first.strip().endswith("."), "the first line of a docstring is a sentence"
    assert not first.startswith(f"{cls.__name__}("), "dataclass made up this docstring"


@pytest.mark.parametrize("part", PARTS)
def test_names_are_unique_and_described(part):
    names = PARTS[part].names()
    assert len(names) == len(set(names)) > 1
    described = PARTS[part].summaries()
    others = [n for n, text in described if "; to install: pip " in text or ":" in n]
    assert sorted(n for n, _ in described if n not in others) == sorted(names)
    assert all(text for _, text in described)


@pytest.mark.parametrize(
    ("parts", "wrong", "right"),
    [
        (registry.encodings, "datset", "dataset"),
        (registry.encodings, "Direct", "direct"),
        (registry.policies, "MLP", "mlp"),
        (registry.envs, "CartPole", "CartPole-v1"),
        (registry.envs, "cartpole-v1", "CartPole-v1"),
        (registry.envs, "breakout", "Breakout-MinAtar"),
        (registry.envs, "halfchetah", "halfcheetah"),
        (registry.envs, "brax:hoper", "hopper"),
        (registry.strategies, "snes", "SNES"),
        (registry.strategies, "OpenES", "Open_ES"),
        (registry.normalizations, "runing", "running"),
    ],
)
def test_a_wrong_name_is_told_the_nearest(parts, wrong, right):
    with pytest.raises(UserError) as error:
        parts.get(wrong)
    message = str(error.value)
    assert f"unknown {parts.kind} {wrong!r}: expected one of " in message
    assert message.endswith(f"; did you mean {right!r}?")
    assert "\n" not in message


def test_a_name_like_none_gets_no_suggestion():
    with pytest.raises(UserError) as error:
        registry.encodings.get("xyzzy")
    assert str(error.value) == (
        "unknown encoding 'xyzzy': expected one of cosine, dataset, direct, "
        "hypernetwork, lowrank, mixed, seeds, subspace"
    )


@pytest.mark.parametrize(
    ("prefixed", "name"), [("gymnax:CartPole-v1", "CartPole-v1"), ("brax:ant", "ant")]
)
def test_a_prefix_names_the_family(prefixed, name):
    assert registry.envs.get(prefixed) is registry.envs.get(name)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("gymnx:CartPole-v1", "unknown environment family 'gymnx'"),
        ("gymnx:CartPole-v1", "did you mean 'gymnax'?"),
        ("brax:CartPole-v1", "unknown environment 'brax:CartPole-v1'"),
        ("gymnax:", "unknown environment 'gymnax:'"),
        ("a:b:c", "unknown environment family 'a:b'"),
        ("", "unknown environment ''"),
    ],
)
def test_a_wrong_prefix(wrong, expected):
    with pytest.raises(UserError, match=r".") as error:
        registry.envs.get(wrong)
    assert expected in str(error.value)


def test_a_prefix_settles_a_doubt(monkeypatch):
    """Two families offer one name: the first gets it, a prefix reaches the other."""
    families = {}
    for family in ("one", "two"):
        part = dataclasses.make_dataclass(f"Of_{family}", [], frozen=True)
        families[family] = types.SimpleNamespace(
            names=lambda: ["same"], config=lambda name, part=part: part
        )
    points = [
        types.SimpleNamespace(name=name, load=lambda part=part: part)
        for name, part in families.items()
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    monkeypatch.setattr(registry, "_load", lambda point: point.load())
    parts = Registry("environment", "neuroevo.envs")
    assert parts.get("same").__name__ == "Of_one"
    assert parts.get("two:same").__name__ == "Of_two"


def test_a_plug_in_is_found_like_the_built_in_parts(monkeypatch):
    point = importlib.metadata.EntryPoint(
        "my-walk", "toy:MyEncoding", "neuroevo.encodings"
    )
    mine = dataclasses.make_dataclass("Mine", [("x", int, 3)], frozen=True)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    monkeypatch.setattr(registry, "_load", lambda found: mine if found == point else 0)
    assert Registry("encoding", "neuroevo.encodings").get("my-walk") is mine


def test_a_package_that_is_not_installed():
    with pytest.raises(UserError, match="install the package first"):
        Registry("encoding", "neuroevo.nothing").names()


def test_long_lists_are_cut():
    message = str(unknown("thing", "?", [f"name-{i:02}" for i in range(30)]))
    assert "name-11, …" in message and "name-12" not in message


@pytest.mark.parametrize(
    ("name", "common", "expected"),
    [
        ("--pop", "--", "--population"),  # what an abbreviation begins
        ("--policies", "--", "--policy"),
        ("--json", "--", ""),  # the dashes do not count
        ("", "", ""),
    ],
)
def test_did_you_mean(name, common, expected):
    choices = ["--population", "--policy", "--config", "--env"]
    assert did_you_mean(name, choices, common) == (
        f"; did you mean {expected!r}?" if expected else ""
    )

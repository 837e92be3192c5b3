"""Configuration: layers, who wins, what is dropped, and what round-trips."""

import dataclasses
import math
import re
from typing import Annotated, Literal

import pytest
import yaml
from annotated_types import Ge, Gt, Interval, MinLen, Predicate

from genomes.dataset import Dataset
from neuroevo.config import parsing, ranges, resolve
from neuroevo.config.forms import Form
from neuroevo.config.layers import (
    FOR_ENV,
    Layer,
    describe_preset,
    presets,
    read_preset,
)
from neuroevo.config.schema import GROUPS, PARTS, Settings, group_of
from neuroevo.config.yaml import read_yaml
from neuroevo.errors import UserError

ALL = [(part, name) for part, parts in PARTS.items() for name in parts.names()]


def configure(*arguments, **values):
    """Resolve keyword arguments (a file, say) and command-line arguments."""
    return resolve.resolve([Layer("file", values)], arguments)


def mistake(*arguments, **values):
    with pytest.raises(UserError) as error:
        configure(*arguments, **values)
    assert "\n" not in str(error.value)
    return str(error.value)


# ------------------------------------------------------------------------- every part


@dataclasses.dataclass(frozen=True)
class Nothing:
    """The options of a command without any."""


@pytest.mark.parametrize(("part", "name"), ALL)
def test_every_part_has_help_and_round_trips(part, name, capsys):
    """Its options are on ``--help``, each in its own words, and survive YAML."""
    form = Form(Nothing, parts={part: PARTS[part].get(name)})
    with pytest.raises(SystemExit) as done:
        parsing.parse(form.kind, ["--help"], prog="neuroevo train")
    assert done.value.code == 0
    text = " ".join(re.sub(r"[│|─-]{2,}(?=\s)|│", " ", capsys.readouterr().out).split())
    for option in form.options:
        flag = f"--{option.replace('_', '-')}"
        found = re.search(rf"{flag}(?:, --\S+)? (.*?)\(default", text)
        assert found and len(found[1].split()) > 2, f"{flag} is not explained"
        assert " see " not in found[1], f"{flag} is explained elsewhere"
    resolved = configure(**{part: name})
    written = yaml.safe_load(yaml.safe_dump(resolved.to_dict()))
    assert configure(**written) == resolved


def test_defaults_solve_cartpole_from_two_pairs():
    resolved = configure()
    assert resolved.names["env"] == "CartPole-v1"
    assert resolved.parts["encoding"] == Dataset()
    assert resolved.names["strategy"] == "SNES"


@pytest.mark.parametrize("preset", presets())
def test_presets_resolve(preset):
    layers = read_preset(preset)
    resolved = resolve.resolve(layers)
    assert configure(**resolved.to_dict()) == resolved
    for key, value in layers[-1].values.items():
        if key == FOR_ENV:
            continue
        assert resolved.to_dict().get(key) == value or key.split(".")[0] in PARTS
    assert len(describe_preset(preset)) > 20


def test_a_preset_may_extend_another():
    base, extended = map(
        resolve.resolve, map(read_preset, ("hades-brax", "hades-brax-f"))
    )
    assert extended.parts["encoding"] == dataclasses.replace(
        base.parts["encoding"], init="fixed"
    )
    assert extended.settings == dataclasses.replace(base.settings, policies=1)


def test_options_may_depend_on_the_environment():
    layers = read_preset("hades-brax")
    for words, steps in (
        ("", 200),
        ("--env brax:inverted_double_pendulum", 200),
        ("--env ant", 400),
        ("--env hopper --encoding.steps 7", 7),
    ):
        resolved = resolve.resolve(layers, words.split())
        assert resolved.parts["encoding"].steps == steps, words
    own = {"for_env": {"CartPole-v1": {"population": 4, "encoding.steps": 3}}}
    assert configure(**own).settings.population == 4
    assert configure("--env", "hopper", **own).parts["encoding"].steps == 64
    rest = resolve.without_settings(Layer("file", own)).values
    assert rest == {"for_env": {"CartPole-v1": {"encoding.steps": 3}}}
    for wrong, words in (
        ([1], "for_env: expected options by the name of an environment, got"),
        ({"CartPole-v1": {"encoding.stesp": 3}}, "did you mean '--encoding.steps'"),
        ({"CartPole-v1": {"encoding": "direct"}}, "got the name of the part encoding"),
    ):
        with pytest.raises(UserError, match=words):
            configure(for_env=wrong)


# ------------------------------------------------------------------------- precedence


def test_the_command_line_wins_over_file_over_preset_over_suggestion(tmp_path):
    suggested = configure("--encoding", "direct")
    assert suggested.settings.population == 256  # what `direct` suggests, not 64
    preset = Layer("preset", {"encoding": "direct", "population": 10, "policies": 2})
    file = Layer("file", {"population": 20, "policies": 3})
    assert resolve.resolve([preset]).settings.population == 10
    assert resolve.resolve([preset, file]).settings.population == 20
    spoken = resolve.resolve([preset, file], ["--population", "30"])
    assert spoken.settings.population == 30
    assert spoken.settings.policies == 3
    assert spoken.settings.episodes == suggested.settings.episodes


def test_the_last_of_a_repeated_option_wins():
    assert configure("--population", "4", "--population=6").settings.population == 6


def test_suggestions_follow_the_encoding_whatever_names_it():
    for resolved in (
        configure("--encoding=direct"),
        configure(encoding="direct"),
        configure(encoding={"name": "direct"}),
        configure(**{"encoding.name": "direct"}),
    ):
        assert resolved.parts["strategy"].std == 0.2


def test_options_of_a_replaced_part_are_dropped():
    """A hopper's backend and an Adam's rate say nothing of CartPole and CMA-ES."""
    layers = read_preset("hades-brax")
    spoken = ["--env", "CartPole-v1", "--strategy", "CMA_ES"]
    resolved = resolve.resolve(layers, spoken)
    assert resolved.names["env"] == "CartPole-v1"
    assert resolved.parts["encoding"].steps == 400  # not replaced
    assert resolved.settings.population == 2048


def test_options_of_a_part_that_is_named_again_stay():
    values = {"encoding": {"name": "dataset", "size": 7}}
    assert configure("--encoding", "dataset", **values).parts["encoding"].size == 7


def test_the_same_option_in_every_spelling():
    for values in (
        {"encoding": {"init_scale": 0.5}},
        {"encoding": {"init-scale": 0.5}},
        {"encoding.init_scale": 0.5},
        {"encoding.init-scale": "5e-1"},
    ):
        assert configure(**values).parts["encoding"].init_scale == 0.5
    for spelling in ("--encoding.init-scale", "--encoding.init_scale"):
        assert configure(spelling, "0.5").parts["encoding"].init_scale == 0.5


# ----------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e6", 10**6),
        (1e6, 10**6),
        ("1_000", 1000),
        (7, 7),
        ("123456789012345678", None),
    ],
)
def test_integers_as_people_write_them(written, value):
    """Exactly, however large: no way through a float."""
    value = int(written) if value is None else value
    assert configure(max_env_steps=written).settings.max_env_steps == value
    arguments = ["--max-env-steps", str(written)]
    assert configure(*arguments).settings.max_env_steps == value


@pytest.mark.parametrize("written", ["1.5", "1e-1", "nan", "inf", "1e400", "ten", True])
def test_what_is_no_integer(written):
    assert mistake(population=written) == (
        f"file: --population: expected an integer, got '{written}'"
    )


def test_none_and_numbers_are_told_apart():
    assert configure("--generations", "None").settings.generations is None
    assert configure(generations=None).settings.generations is None
    assert configure(target=-12).settings.target == -12.0
    assert configure("--target=-1e-3").settings.target == -1e-3
    assert configure("--target", "-1e-3").settings.target == -1e-3
    assert configure("--max-seconds", "inf").settings.max_seconds == math.inf


def test_lists_with_negative_numbers():
    angles = (-0.25, 1e-5)
    for resolved in (
        configure(env={"name": "hopper", "healthy_angle_range": list(angles)}),
        configure("--env", "hopper", "--env.healthy-angle-range", "-0.25", "1e-5"),
    ):
        assert resolved.parts["env"].healthy_angle_range == angles
        assert configure(**resolved.to_dict()) == resolved


@pytest.mark.parametrize("hidden", [[], [3], [512, 512]])
def test_lists_of_any_length(hidden):
    resolved = configure(policy={"hidden": hidden})
    assert resolved.parts["policy"].hidden == tuple(hidden)
    assert configure(**resolved.to_dict()) == resolved


def test_a_single_value_stands_for_a_list_of_one():
    assert configure(policy={"hidden": 8}).parts["policy"].hidden == (8,)


def test_floats_are_exact():
    rate = 0.1 + 0.2
    assert configure(encoding={"learning_rate": rate}).parts[
        "encoding"
    ].learning_rate == (rate)


def test_the_version_in_a_runs_configuration_is_no_option():
    assert configure(neuroevo="0.0.1") == configure()


# --------------------------------------------------------------------------- mistakes


# A return may be any number, and the growth of episodes is two numbers.
SPECIAL = ("target", "episode_growth")


def numeric(cls, prefix=""):
    """Yield the settings that are numbers by dotted name."""
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(field.type):
            yield from numeric(field.type, f"{prefix}{field.name}.")
        elif re.search(r"\b(int|float)\b", str(field.type)):
            yield f"{prefix}{field.name}"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *((name, -1) for name in numeric(Settings) if name not in SPECIAL),
        ("population", 0),
        ("generations", 0),
        ("max_seconds", 0.0),
        ("checkpoint.every_seconds", 0.0),
        ("seed", 2**32),
        ("population", 2**31),
        ("center_every", 10**12),
    ],
)
def test_every_number_among_the_settings_has_a_range(name, wrong):
    message = mistake(f"--{name.replace('_', '-')}={wrong}")
    assert message.startswith(f"{name}: expected ")
    assert message.endswith((f"got {wrong}", f"got {float(wrong)}"))
    assert mistake(**{name: wrong}) == message


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: Annotated[float, Gt(0), Predicate(math.isfinite)] | None = None


@dataclasses.dataclass(frozen=True)
class Ranged:
    """Options with a range of every kind."""

    steps: Annotated[int, Ge(0)] = 0
    size: Annotated[int, Interval(ge=1, le=2**24)] | None = None
    chunk: Annotated[int, Ge(1)] | Literal["auto"] = "auto"
    momentum: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    free: int = 0
    hidden: tuple[Annotated[int, Ge(1)], ...] = (1,)
    names: Annotated[tuple[str, ...], MinLen(1)] | None = None
    switch: bool = False
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"steps": -1}, "part.steps: expected an integer of at least 0, got -1"),
        ({"steps": 2**31}, "part.steps: expected an integer from 0 to 2^31 - 1, got"),
        ({"size": 0}, "part.size: expected an integer from 1 to 2^24, got 0"),
        ({"chunk": 0}, "part.chunk: expected an integer of at least 1, got 0"),
        ({"momentum": 1.0}, "part.momentum: expected a number of at least 0 and less "
         "than 1, got 1.0"),
        ({"momentum": math.nan}, "part.momentum: expected a number of at least 0"),
        ({"free": -(2**31)}, "expected an integer of at least -(2^31 - 1)"),
        ({"free": 10**30}, "part.free: expected an integer of at most 2^31 - 1"),
        ({"hidden": (8, 0)}, "part.hidden: expected values that are each an integer of "
         "at least 1, got 0"),
        ({"hidden": (8, 2**31)}, "part.hidden: expected values that are each an "),
        ({"names": ()}, "part.names: expected at least 1 value, got ()"),
        ({"inner": Inner(0.0)}, "part.inner.rate: expected a finite number greater"),
        ({"inner": Inner(math.inf)}, "part.inner.rate: expected a finite number"),
    ],
)  # fmt: skip
def test_a_range_is_declared_once_and_has_one_wording(values, expected):
    with pytest.raises(UserError) as error:
        ranges.check(Ranged(**values), "part")
    assert str(error.value).startswith("part.")
    assert expected in str(error.value)
    # A part made in Python is checked in the same way.
    with pytest.raises(UserError) as again:
        resolve.resolve([], custom={"encoding": Ranged(**values)})
    assert str(again.value) == str(error.value).replace("part.", "encoding.")


def test_what_is_in_range():
    for values in (
        {},
        {"steps": 0, "size": 2**24, "chunk": 1, "momentum": 0, "free": 1 - 2**31},
        {"hidden": (), "names": ("x",), "inner": Inner(1e-300), "switch": True},
    ):
        ranges.check(Ranged(**values), "part")
    ranges.check(object(), "part")  # declares nothing


@pytest.mark.parametrize("key", ["compilation_cache", "compilation-cache"])
def test_no_file_says_where_compiled_programs_are_loaded_from(key, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(f"{key}: /somewhere")
    with pytest.raises(UserError, match="compilation_cache: expected on the command"):
        read_yaml(file)
    resolved = resolve.resolve([], ["--compilation-cache", str(tmp_path)])
    assert resolved.settings.compilation_cache == tmp_path
    assert "compilation_cache" not in resolved.to_dict()


@pytest.mark.parametrize(
    ("option", "group"),
    [
        ("population", "search"),
        ("encoding.steps", "search"),
        ("env", "search"),
        ("center_every", "evaluation"),
        ("max-env-steps", "limits"),
        ("checkpoint.keep", "output"),
        ("wandb.mode", "output"),
        ("chunk", "machine"),
        ("neuroevo", None),
    ],
)
def test_the_group_of_an_option(option, group):
    assert group_of(option) == group


def test_every_setting_is_in_one_group():
    fields = {field.name for field in dataclasses.fields(Settings)}
    grouped = [f.name for cls in GROUPS.values() for f in dataclasses.fields(cls)]
    assert sorted([*grouped, "checkpoint"]) == sorted(fields)
    assert all(group_of(name) in GROUPS for name in fields)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"populaton": 3}, "unknown option --populaton: expected an option that --help "
         "lists; did you mean '--population'?"),
        ({"encoding": {"sze": 3}}, "unknown option --encoding.sze: expected "
         "--encoding.adam-eps, "),
        ({"encoding": {"sze": 3}}, "; did you mean '--encoding.size'?"),
        ({"encoding.sze": 3}, "; did you mean '--encoding.size'?"),
        ({"checkpoint": {"kep": 5}}, "; did you mean '--checkpoint.keep'?"),
        ({"checkpoint": 5}, "unknown option --checkpoint"),
        ({"population": {"a": 2}}, "unknown option --population.a"),
        ({"strategy_name": "SNES"}, "unknown option --strategy-name"),
        ({"encoding": 3}, "encoding: expected a name or a mapping of options, got 3"),
        ({"encoding": None}, "encoding: expected a name or a mapping of options"),
        ({"encoding": {"name": 3}}, "encoding: expected a name, got 3"),
        ({"encoding": {"name": "direct", "size": 3}}, "--encoding.size: expected "
         "--encoding.init"),
        ({3: 4}, "expected option names as keys, got 3"),
        ({"population": [1, 2]}, "unexpected argument '2' after --population 1"),
        ({"seed": None}, "--seed: expected an integer, got 'None'"),
        ({"target": True}, "--target: expected a number or none, got 'True'"),
        ({"target": "nan"}, "--target: expected a number or none, got 'nan'"),
        ({"policy": {"hidden": [8, "x"]}}, "--policy.hidden: expected values that are "
         "each an integer, got '8 x'"),
        ({"env": {"name": "hopper", "backend": "mjxx"}}, "--env.backend: expected "
         "positional, spring, generalized, mjx, got 'mjxx'; did you mean 'mjx'?"),
        ({"env": {"name": "hopper", "healthy_z_range": [1]}}, "expected 2 values that "
         "are each a number, got '1'"),
        ({"preset": "hades-brax"}, "unknown option --preset"),
    ],
)  # fmt: skip
def test_mistakes_name_their_source(values, expected):
    with pytest.raises(UserError) as error:
        resolve.resolve([Layer("my.yaml", values)])
    message = str(error.value)
    assert message.startswith("my.yaml: ") and "\n" not in message
    assert expected in message


# --------------------------------------------------------------- parts made in Python


def test_a_part_made_in_python_takes_the_place_of_a_named_one():
    mine = object()
    resolved = resolve.resolve([], custom={"policy": mine})
    assert resolved.parts["policy"] is mine
    assert resolved.names["policy"] == "object"
    assert resolved.to_dict()["policy"] == {"name": "object"}


def test_a_command_without_training_takes_no_settings_of_it():
    layer = Layer("run/config.yaml", configure(population=10).to_dict())
    kept = resolve.without_settings(layer)
    assert kept.values.keys() == PARTS.keys()

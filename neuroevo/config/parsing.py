"""The typed parser: dataclasses from the words of a command line.

tyro parses the words. Its errors become `UserError`s of one line.
"""

import contextvars
import dataclasses
import itertools
import math
import types
import typing
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, Union

import tyro

from neuroevo.config import tyro_private
from neuroevo.config.recorded import NEW_NAMES
from neuroevo.config.schema import PARTS
from neuroevo.errors import UserError, did_you_mean


class Missing(UserError):
    """A required argument that a command line lacks."""


class Parsed(NamedTuple):
    """An instance of a dataclass, and the words that are not among its options."""

    value: Any
    rest: list[str]


def parse(
    kind: type,
    words: Sequence[str],
    *,
    prog: str,
    usage: str = "",
    default: Any = tyro.MISSING,
    source: str | None = None,
    description: str = "",
    with_help: bool = True,
) -> Parsed:
    """Parse words into an instance of a dataclass.

    Args:
        kind: the dataclass.
        words: the words of a command line; ``--help`` prints help and exits.
        prog: the name of the program, for help.
        usage: how to call the program, for errors.
        default: an instance that the words change.
        source: where the words come from, for errors.
        description: what the program does, for help.
        with_help: whether ``--help`` is an option.

    Raises:
        Missing: if a required argument is missing.
        UserError: for a value of the wrong type.
    """

    def explain(event: Any) -> None:
        problem = tyro_private.problem_in(event)
        if problem is not None:
            _raise(problem, words, usage, source)

    tyro_private.adapt_to_terminal()
    given = {} if default is tyro.MISSING else {"default": default}
    with tyro_private.on_parse_error(explain):
        value, rest = tyro.cli(
            kind,
            args=list(words),
            prog=prog,
            description=description,
            add_help=with_help,
            return_unknown_args=True,
            # Help is in docstrings; looking for comments is slow.
            config=(tyro.conf.HelptextFromCommentsOff,),
            registry=_registry,
            **given,
        )
    return Parsed(value, rest)


def _raise(
    problem: tyro_private.Problem, words: Sequence[str], usage: str, source: str | None
) -> NoReturn:
    """Raise the error for a problem, in one line that names its source."""
    begin = f"{source}: " if source else ""
    if problem.missing:
        name = problem.missing[0]
        raise Missing(f"{begin}{name} is missing: expected {usage}")
    if problem.message:
        raise UserError(f"{begin}{problem.message}")
    given = _written(problem.flag, words, problem.count)
    close = did_you_mean(given, problem.choices) if given else ""
    got = repr(given) if given else "nothing"
    raise UserError(
        f"{begin}{problem.flag}: expected {expected(problem.hint)}, got {got}{close}"
    )


_registry = tyro.constructors.ConstructorRegistry()


@_registry.primitive_rule
def _integer(info: Any) -> Any:
    """Accept integers such as 1e8, as people write environment steps."""
    if info.type is not int:
        return None

    def read(words: Sequence[str]) -> int:
        try:
            return int(words[0])
        except ValueError:  # 1e8, or the 100000000.0 that YAML makes of 1.0e+8
            number = float(words[0])
        if not number.is_integer():
            raise ValueError(f"{words[0]} is not an integer")
        return int(number)

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=read,
        is_instance=lambda x: isinstance(x, int) and not isinstance(x, bool),
        str_from_instance=lambda x: [str(x)],
    )


@_registry.primitive_rule
def _number(info: Any) -> Any:
    """Reject NaN as a number."""
    if info.type is not float:
        return None

    def read(words: Sequence[str]) -> float:
        number = float(words[0])
        if math.isnan(number):
            raise ValueError(f"{words[0]} is not a number")
        return number

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="FLOAT",
        instance_from_str=read,
        is_instance=lambda x: isinstance(x, float | int) and not isinstance(x, bool),
        str_from_instance=lambda x: [str(x)],
    )


@_registry.primitive_rule
def _none(info: Any) -> Any:
    """Show None as none; accept None as well."""
    if info.type is not type(None):
        return None

    def read(words: Sequence[str]) -> None:
        if words[0].lower() != "none":
            raise ValueError(f"{words[0]} is not none")

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="none",
        instance_from_str=read,
        is_instance=lambda x: x is None,
        str_from_instance=lambda x: ["none"],
    )


_in_optional = contextvars.ContextVar("in_optional", default=False)


@_registry.primitive_rule
def _optional(info: Any) -> Any:
    """Show ``X|none``, where tyro puts none first."""
    if type(None) not in typing.get_args(info.type) or _in_optional.get():
        return None
    token = _in_optional.set(True)
    try:
        spec = tyro.constructors.ConstructorRegistry.get_primitive_spec(info)
    finally:
        _in_optional.reset(token)
    if not isinstance(spec, tyro.constructors.PrimitiveConstructorSpec):
        return spec
    metavar = f"{spec.metavar.removeprefix('none|')}|none"
    return dataclasses.replace(spec, metavar=metavar)


@_registry.primitive_rule
def _text(info: Any) -> Any:
    """Show TEXT as the placeholder of a text."""
    if info.type is not str:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="TEXT",
        instance_from_str=lambda words: words[0],
        is_instance=lambda x: isinstance(x, str),
        str_from_instance=lambda x: [x],
    )


def surplus(
    words: Sequence[str], rest: Iterable[str], known: Collection[str], instead: str
) -> None:
    """Raise an error if there are words that are not options.

    Args:
        words: a command line.
        rest: the words in it that are not options.
        known: the options' dotted names.
        instead: what is expected instead of an unknown positional argument.

    Raises:
        UserError: for the first of these words, with the nearest option.
    """
    rest = list(rest)
    arguments = words[words.index("--") :] if "--" in words else ()
    for word in rest:
        if word.startswith("--") and word not in arguments:
            raise UserError(unknown_option(word.partition("=")[0], known))
    for word in rest:
        after = _before(word, words)
        raise UserError(
            f"unexpected argument {word!r}{after and f' after {after}'}: expected "
            f"{instead}"
        )


def is_flag(word: str) -> bool:
    """Return whether the parser would read `word` as an option rather than a value."""
    try:
        float(word)
    except ValueError:
        return word.startswith("-")
    return False


def is_option(word: str, known: Collection[str]) -> bool:
    """Return whether `word` is the flag of an option.

    A known name that ends with a dot stands for all names that begin with it.
    """
    name = word.removeprefix("--").partition("=")[0].replace("-", "_")
    part, dot, option = name.rpartition(".")
    names = {name, f"{part}.", f"{part}{dot}{option.removeprefix('no_')}"}
    return word.startswith("--") and not names.isdisjoint(known)


def unknown_option(flag: str, known: Collection[str]) -> str:
    """Return one line about a `flag` that is not among the `known` options."""
    flags = [f"--{name.replace('_', '-')}" for name in known]
    flag = f"--{flag.lstrip('-').replace('_', '-')}"
    if new := NEW_NAMES.get(flag.removeprefix("--").replace("-", "_")):
        flag, new = f"--{flag.lstrip('-')}", f"--{new.replace('_', '-')}"
        return f"unknown option {flag}: expected {new}, its name since version 0.2"
    part, dot, _ = flag.partition(".")
    offered = [name for name in PARTS if name in known]
    if part[2:] in PARTS and offered and part[2:] not in offered:
        *some, last = offered
        return (
            f"unknown option {flag}: expected options of {', '.join(some)} and {last}"
        )
    siblings = [other for other in flags if dot and other.startswith(f"{part}.")]
    listed = siblings[:12] + ["…"] * (len(siblings) > 12)
    wanted = ", ".join(listed) or "an option that --help lists"
    # A prefix that all flags share says nothing about how close they are.
    common = f"{part}." if siblings else "--"
    close = did_you_mean(flag, siblings or flags, common)
    return f"unknown option {flag}: expected {wanted}{close}"


def _before(word: str, words: Sequence[str]) -> str:
    """Return the option before a superfluous `word`, as it was written."""
    before = list(words[: words.index(word)] if word in words else ())
    flags = [i for i, each in enumerate(before) if each.startswith("--")]
    return " ".join(before[flags[-1] :]) if flags else ""


def _written(flag: str, words: Sequence[str], count: int | None) -> str:
    """Return what was given for `flag`, `count` values at most, as it was written."""
    given = ""
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == flag.replace("_", "-"):
            rest = itertools.takewhile(
                lambda word: not word.startswith("--"), words[position + 1 :]
            )
            given = value if equals else " ".join(itertools.islice(rest, count))
    return given


def expected(hint: Any) -> str:
    """Return what a value of a type is called: ``an integer or none``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return expected(arguments[0])
    if origin is Literal:
        return ", ".join(map(str, arguments))
    if origin is tuple:
        many = "" if Ellipsis in arguments else f"{len(arguments)} "
        return f"{many}values that are each {expected(arguments[0])}"
    if origin in (Union, types.UnionType):
        *some, last = (expected(arm) for arm in arguments)
        return f"{', '.join(some)} or {last}"
    return _WORDS.get(hint, str(hint))


_WORDS = {
    int: "an integer",
    float: "a number",
    str: "a text",
    bool: "True or False",
    type(None): "none",
    Path: "a path",
}

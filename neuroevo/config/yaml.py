"""YAML files of options: plain data of bounded size, never executed."""

import functools
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from neuroevo.config.schema import CACHE
from neuroevo.errors import UserError
from neuroevo.store.files import check_file

_MOST_BYTES = 2**18
_MOST_VALUES = 10_000
_MOST_DIGITS = 100


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Return the mapping in a YAML file, without executing anything in it.

    Raises:
        UserError: if there is no such file, or it is not a YAML mapping.
    """
    check_file(path, "a YAML configuration")
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"expected at most {_MOST_BYTES} bytes")
        values = yaml.load(text, _Loader)
    except Exception as error:  # malformed values fail in many ways
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        told = [getattr(error, name, None) for name in ("context", "problem")]
        reason = ", ".join(filter(None, told)) or str(error) or type(error).__name__
        reason = " ".join(reason.split())
        raise UserError(f"{path}: not a readable YAML file: {where}{reason}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a mapping of options, got {values!r:.60}")
    if any(str(key).replace("-", "_") == CACHE for key in values):
        # Compiled programs are code: a file must not say where to load them from.
        raise UserError(f"{path}: {CACHE}: expected on the command line, not in a file")
    return values


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return a mapping as YAML, in its own order."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """Loads plain data of bounded size; refuses a key that is given twice."""

    def __init__(self, stream: bytes):
        super().__init__(stream)
        self._count = 0  # values so far, those of an alias each time that it is used
        self._counts: dict[str, int] = {}  # values in what has an anchor

    def compose_node(self, parent: Any, index: Any) -> Any:
        event, before = self.peek_event(), self._count
        alias = isinstance(event, yaml.AliasEvent)
        if alias and event.anchor in self.anchors.keys() - self._counts.keys():
            raise yaml.composer.ComposerError(
                problem=f"*{event.anchor} holds itself", problem_mark=event.start_mark
            )
        self._count += self._counts.get(event.anchor, 1) if alias else 1
        if self._count > _MOST_VALUES:
            raise yaml.composer.ComposerError(
                problem=f"expected at most {_MOST_VALUES} values",
                problem_mark=event.start_mark,
            )
        node = super().compose_node(parent, index)
        if event.anchor and not alias:
            self._counts[event.anchor] = self._count - before
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # <<
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):  # YAML itself refuses other keys
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the key {key!r} is given twice",
                        problem_mark=key_node.start_mark,
                    )
                seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node: Any, construct: Any) -> Any:
        if len(node.value) > _MOST_DIGITS:
            raise yaml.constructor.ConstructorError(
                problem=f"expected a number of at most {_MOST_DIGITS} digits",
                problem_mark=node.start_mark,
            )
        return construct(self, node)


for _tag, _construct in (
    ("int", yaml.SafeLoader.construct_yaml_int),
    ("float", yaml.SafeLoader.construct_yaml_float),
):
    _Loader.add_constructor(
        f"tag:yaml.org,2002:{_tag}",
        functools.partial(_Loader.construct_number, construct=_construct),
    )

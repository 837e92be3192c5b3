"""Files as every room writes them: in one step, UTF-8, and JSON that is strict."""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np


def atomic_write(path: Path, content: str | bytes | Callable[[BinaryIO], Any]) -> None:
    """Write a file in one step: a reader never sees half of it.

    Args:
        path: the file, which is replaced if it exists.
        content: a text, written as UTF-8; bytes; or a function that writes to the open
            binary file it is given.
    """
    if isinstance(content, str):
        # A file name of another encoding keeps its bytes.
        content = content.encode("utf-8", "surrogateescape")
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            content(file) if callable(content) else file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def jsonable(value: Any, not_finite: Callable[[float], Any] = lambda _: None) -> Any:
    """Return `value` as plain data that strict JSON can hold.

    Args:
        value: nested mappings and sequences of scalars, arrays and paths.
        not_finite: what stands for NaN and infinities, which JSON lacks.
    """
    if isinstance(value, Mapping):
        return {str(k): jsonable(v, not_finite) for k, v in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        return [jsonable(v, not_finite) for v in value]
    if hasattr(value, "__array__"):  # of numpy or JAX, scalars included
        return jsonable(np.asarray(value).tolist(), not_finite)
    if isinstance(value, float) and not math.isfinite(value):
        return not_finite(value)
    return str(value) if isinstance(value, os.PathLike) else value


def to_json(value: Any, indent: int | None = None) -> str:
    """Return `value` as strict JSON, where null stands for what is not finite."""
    return json.dumps(jsonable(value), indent=indent, allow_nan=False)


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested `values`, each with its dotted name.

    Example:
        >>> dict(flatten({"seed": 1, "policy": {"name": "mlp"}}))
        {'seed': 1, 'policy.name': 'mlp'}
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

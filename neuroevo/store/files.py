"""Files: checks of paths, atomic writes, and strict JSON."""

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from neuroevo.errors import UserError, did_you_mean

_LONGEST = 255  # bytes that file systems allow a name


def kind_of(path: Path, expected: str) -> str | None:
    """Return the kind of what is at `path`, such as ``"a file"``, or None for nothing.

    Raises:
        UserError: if that cannot be determined, or if `path` is the address of a remote
            file; the message says what was `expected`.
    """
    if _REMOTE.match(str(path)):
        address = _REMOTE.sub(r"\1://", str(path))
        raise UserError(
            f"{address}: neuroevo reads and writes local files; expected {expected} in "
            "a local folder, which may be mounted"
        )
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # no permission, or a name too long, say
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: {reason}; expected {expected}") from None
    if stat.S_ISREG(mode):
        return "a file"
    return "a directory" if stat.S_ISDIR(mode) else "a pipe or a device"


# Path("gs://bucket/run") has lost a slash.
_REMOTE = re.compile(r"(file|gs|s3|gcs|az|abfss?|hdfs|https?|ftp|memory):/", re.I)


def check_file(path: Path, expected: str) -> None:
    """Raise a `UserError` unless `path` is a file that can be read, as `expected`.

    Pipes and devices are refused, because reading one may never begin or never end.
    """
    found = kind_of(path, expected)
    if found is None:
        raise UserError(f"{path}: no such file; expected {expected}")
    if found != "a file":
        raise UserError(f"{path}: {found}; expected {expected}")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path}: no permission to read it; expected {expected}")


def check_new_file(
    path: Path, suffixes: Sequence[str] = (), *, replace: bool = False
) -> None:
    """Raise a `UserError` unless a new file can be written at `path`.

    Args:
        path: the file.
        suffixes: the allowed endings of its name; empty allows any.
        replace: whether an existing file may be replaced.
    """
    if suffixes and path.suffix not in suffixes:
        *others, last = suffixes
        listed = f"{', '.join(others)} or {last}" if others else last
        raise UserError(
            f"{path}: expected a name that ends in {listed}"
            f"{did_you_mean(path.suffix, suffixes, '.')}"
        )
    if kind_of(path.parent, "a directory") != "a directory":
        raise UserError(
            f"{path}: expected an existing directory; {path.parent} is not one"
        )
    found = kind_of(path, "a new file")
    if found and not (replace and found == "a file"):
        raise UserError(f"{path}: already exists; expected a new file")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path}: no permission to write in {path.parent}")


def atomic_write(path: Path, content: str | bytes | Callable[[BinaryIO], Any]) -> None:
    """Write a file in one step: a reader never sees half of it.

    Args:
        path: the file, which is replaced if it exists.
        content: a text, which is written as UTF-8; bytes; or a function that writes to
            an open binary file.
    """
    if isinstance(content, str):
        # A file name of another encoding keeps its bytes.
        content = content.encode("utf-8", "surrogateescape")
    name = path.name
    if len(os.fsencode(name)) > _LONGEST - len("..tmp"):
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    temporary = path.with_name(f".{name}.tmp")
    try:
        with temporary.open("wb") as file:
            content(file) if callable(content) else file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or an empty one if there is no such file.

    Raises:
        UserError: if the file does not contain a JSON object.
    """
    try:
        if kind_of(path, "a JSON file") is None:
            return {}
        check_file(path, "a JSON file")
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable JSON file: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected a JSON object")
    return found


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object to a JSON file, in one step."""
    atomic_write(path, to_json(content, indent=2) + "\n")


def _null(number: float) -> None:
    """Return the substitute for a number that JSON cannot represent."""


def jsonable(value: Any, not_finite: Callable[[float], Any] = _null) -> Any:
    """Return `value` as plain data that strict JSON can hold.

    Args:
        value: nested mappings and sequences of scalars, arrays and paths.
        not_finite: returns the substitute for NaN or an infinity, which JSON lacks.
    """
    if isinstance(value, Mapping):
        return {str(k): jsonable(v, not_finite) for k, v in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        return [jsonable(v, not_finite) for v in value]
    if hasattr(value, "__array__"):  # of numpy or JAX, scalars included
        import numpy as np  # commands without arrays start sooner

        return jsonable(np.asarray(value).tolist(), not_finite)
    if isinstance(value, float) and not math.isfinite(value):
        return not_finite(value)
    return str(value) if isinstance(value, os.PathLike) else value


def to_json(
    value: Any,
    *,
    indent: int | None = None,
    not_finite: Callable[[float], Any] = _null,
) -> str:
    """Return `value` as strict JSON; see `jsonable`."""
    return json.dumps(jsonable(value, not_finite), indent=indent, allow_nan=False)


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

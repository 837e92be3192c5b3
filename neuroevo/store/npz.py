"""Reads and writes ``.npz`` files; reading an untrusted file is safe.

In contrast, `numpy.load` trusts an array's header when it allocates memory, expands a
small archive without limit, and silently takes the last of several arrays of one name.
"""

import math
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from neuroevo.errors import UserError, in_one_line
from neuroevo.store.files import check_file

_MOST_BYTES = 2**28  # the expanded size allowed for a smaller file
_MOST_ARRAYS = 10_000
_MOST_HEADER = 1000  # bytes before an array's own
_KINDS = "biufcU"  # numbers and text; no Python objects, no records


def write(file: BinaryIO, arrays: Mapping[str, Any]) -> None:
    """Write `arrays` by name to an open file; any names are allowed.

    Floating-point types that numpy lacks (bfloat16) become float32.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            # Without a date: equal arrays make equal files.
            info = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, _plain(array), allow_pickle=False)


def _plain(value: Any) -> np.ndarray:
    array = np.asarray(value)
    own = array.dtype.kind == "V" and array.dtype.names is None  # of ml_dtypes
    return array.astype(np.float32) if own else array


def read(path: Path, expected: str) -> dict[str, np.ndarray]:
    """Return the arrays in an ``.npz`` by name.

    They take at most as much memory as the file has bytes, or 256 MB if that is more.

    Args:
        path: the file.
        expected: the kind of file that is expected, for the message.

    Raises:
        UserError: if the file is not an ``.npz`` of plain arrays.
    """
    check_file(path, expected)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy repairs headers, and warns of it
            return _read(path)
    except Exception as error:  # a damaged archive fails in many ways
        reason = in_one_line(error, 200)
        raise UserError(f"{path}: not {expected}: {reason}") from None


def _read(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise ValueError("expected an archive of arrays, as numpy.savez writes it")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > _MOST_ARRAYS:
            raise ValueError(f"expected at most {_MOST_ARRAYS} arrays")
        most = max(_MOST_BYTES, path.stat().st_size)
        if sum(member.file_size for member in members) > most:
            raise ValueError(f"expected arrays of at most {most} bytes in all")
        arrays: dict[str, np.ndarray] = {}
        for member in members:
            name = _name(member)
            if name in arrays:
                raise ValueError(f"it holds {name!r} twice")
            arrays[name] = _read_array(archive, member)
        return arrays


def _name(member: zipfile.ZipInfo) -> str:
    """Return the name of the array in `member`; raise if it is not an array."""
    name, suffix = member.orig_filename[:-4], member.orig_filename[-4:]
    parts = name.replace("\\", "/").split("/")
    if suffix != ".npy" or not name.isprintable() or ".." in parts or name[:1] == "/":
        raise ValueError(f"expected arrays alone (.npy), got {member.orig_filename!r}")
    return name


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Return the array in `member`, once its header agrees with the member's size."""
    stored = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    if member.compress_type not in stored:  # others can ask for gigabytes to begin with
        raise ValueError("compressed in a way that numpy does not write")
    with archive.open(member) as file:
        try:
            read_header = _HEADERS[np.lib.format.read_magic(file)]
            shape, _, dtype = read_header(file, max_header_size=_MOST_HEADER)
        except Exception:  # of a literal in Python, which numpy evaluates as such
            raise ValueError(f"{member.filename} has no array header") from None
        size = member.file_size - file.tell()
    if dtype.kind not in _KINDS or not dtype.itemsize:
        raise ValueError(f"{member.filename} holds {dtype}, expected numbers")
    possible = all(0 <= length < 2**48 for length in shape)
    if not possible or math.prod(shape) * dtype.itemsize != size:
        raise ValueError(
            f"{member.filename} claims shape {shape} of {dtype} but has {size} bytes"
        )
    with archive.open(member) as file:
        return np.lib.format.read_array(
            file, allow_pickle=False, max_header_size=_MOST_HEADER
        )


_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

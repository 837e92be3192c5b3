"""Reads labeled data; whatever is wrong with a file is one line."""

import gzip
import importlib.util
import math
import struct
from pathlib import Path

import numpy as np

from neuroevo.environments.supervised.labeled import Labeled
from neuroevo.errors import UserError, in_one_line
from neuroevo.store import npz

_IDX = {  # of Fashion-MNIST: the kind of number and the shape after the first axis
    "images-idx3-ubyte": (28, 28),
    "labels-idx1-ubyte": (),
}
_UBYTE = 8  # the code of unsigned bytes in an idx file
_MOST = 2**28  # bytes of an idx file


def read_digits() -> Labeled:
    """Return the 1797 digits (8, 8, 1) that scikit-learn contains.

    Raises:
        UserError: if scikit-learn is not installed.
    """
    found = importlib.util.find_spec("sklearn")  # importing it takes seconds
    for folder in (found and found.submodule_search_locations) or ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.exists():
            with gzip.open(path, "rb") as file:
                rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
            inputs = rows[:, :-1].reshape(-1, 8, 8, 1) / 16  # of 0 to 16
            return Labeled(inputs, rows[:, -1].astype(np.int32))
    raise UserError(
        "environment digits: expected scikit-learn, which contains the data: pip "
        "install scikit-learn"
    )


def read_idx_folder(folder: Path, package: str) -> tuple[Labeled, Labeled]:
    """Return the training and test examples (28, 28, 1) in a folder of idx files.

    Args:
        folder: the folder; its files may be compressed (.gz).
        package: the package of Debian that contains them, for the message.

    Raises:
        UserError: if a file is missing or damaged.
    """

    def read(part: str) -> Labeled:
        images, labels = (
            _read_idx(folder, f"{part}-{name}", shape, package)
            for name, shape in _IDX.items()
        )
        _check_lengths(str(folder), f"{part} images", images, "labels", labels)
        return Labeled(images[..., None], labels.astype(np.int32))

    return read("train"), read("t10k")


def _read_idx(
    folder: Path, name: str, shape: tuple[int, ...], package: str
) -> np.ndarray:
    for path in (folder / f"{name}.gz", folder / name):
        if path.exists():
            break
    else:
        raise UserError(
            f"env.folder {folder}: there is no {name} or {name}.gz; expected the four "
            f"idx files: install Debian's package {package}, or name their folder "
            "(--env.folder)"
        )
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = file.read(_MOST)
        axes = 1 + len(shape)
        zero, kind, found = struct.unpack_from(">HBB", content)
        lengths = struct.unpack_from(f">{axes}I", content, 4)
        if (zero, kind, found) != (0, _UBYTE, axes) or lengths[1:] != shape:
            raise ValueError(f"expected unsigned bytes of shape (N, *{shape})")
        numbers = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
        if len(numbers) != math.prod(lengths):
            raise ValueError(f"it claims shape {lengths} but has {len(numbers)} bytes")
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise UserError(f"{path}: not an idx file: {in_one_line(error, 200)}") from None
    return numbers.reshape(lengths)


def read_npz(path: Path) -> tuple[Labeled, Labeled | None]:
    """Return the examples in an ``.npz``, and those for the test if it has any.

    Its arrays are ``inputs`` and either ``labels``, for classification, or ``targets``,
    for regression; optionally also ``test_inputs`` with ``test_labels`` or
    ``test_targets``.

    Raises:
        UserError: if the arrays are missing, do not fit, or are not finite.
    """
    arrays = npz.read(path, "an .npz file with inputs, and labels or targets")
    examples = _examples(path, arrays, "")
    if not any(name.startswith("test_") for name in arrays):
        return examples, None
    test = _examples(path, arrays, "test_")
    for what, own, other in zip(
        Labeled._fields, examples, test, strict=True
    ):  # the shapes of one example
        if own.shape[1:] != other.shape[1:] or own.dtype.kind != other.dtype.kind:
            raise UserError(
                f"{path}: expected {what} for the test like the others, of shape "
                f"{own.shape[1:]} each; got {other.shape[1:]}"
            )
    return examples, test


def _examples(path: Path, arrays: dict[str, np.ndarray], prefix: str) -> Labeled:
    inputs = arrays.get(f"{prefix}inputs")
    kinds = [kind for kind in ("labels", "targets") if f"{prefix}{kind}" in arrays]
    if inputs is None or len(kinds) != 1:
        raise UserError(
            f"{path}: expected arrays {prefix}inputs, and either {prefix}labels (for "
            f"classification) or {prefix}targets (for regression); found "
            f"{', '.join(sorted(arrays)) or 'none'}"
        )
    (kind,) = kinds
    name, targets = f"{prefix}{kind}", arrays[f"{prefix}{kind}"]
    if inputs.ndim < 2:
        raise UserError(
            f"{path}: {prefix}inputs: expected shape (N, features) or (N, height, "
            f"width, channels); got {inputs.shape}"
        )
    _check_lengths(str(path), f"{prefix}inputs", inputs, name, targets)
    if inputs.dtype != np.uint8:
        inputs = _finite(path, f"{prefix}inputs", inputs)
    if kind == "targets":
        targets = targets[:, None] if targets.ndim == 1 else targets
        return Labeled(inputs, _finite(path, name, targets))
    return Labeled(inputs, _labels(path, name, targets))


def _check_lengths(
    source: str, first: str, one: np.ndarray, second: str, other: np.ndarray
) -> None:
    lengths = [len(array) if array.ndim else 0 for array in (one, other)]
    if lengths[0] != lengths[1]:
        raise UserError(
            f"{source}: expected as many {second} as {first}; got {lengths[1]} and "
            f"{lengths[0]}"
        )


def _finite(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """Return an array as float32, once all of its numbers are finite."""
    if array.dtype.kind not in "biuf":
        raise UserError(f"{path}: {name}: expected real numbers; got {array.dtype}")
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    finite = np.isfinite(numbers.reshape(len(numbers), -1)).all(axis=1)
    bad = np.flatnonzero(~finite)
    if len(bad):
        raise UserError(
            f"{path}: {name}: expected finite numbers; got NaN or infinity in "
            f"{len(bad)} of {len(numbers)} rows, first in row {bad[0]}"
        )
    return numbers


def _labels(path: Path, name: str, labels: np.ndarray) -> np.ndarray:
    """Return labels as int32, once they are known to be numbers of classes."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise UserError(
            f"{path}: {name}: expected integers of shape (N,); got {labels.dtype} of "
            f"shape {labels.shape}"
        )
    check_labels(str(path), name, labels, 2**24)
    return labels.astype(np.int32)


def check_labels(source: str, name: str, labels: np.ndarray, classes: int) -> None:
    """Raise a `UserError` unless all labels are from 0 to ``classes - 1``."""
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(bad):
        raise UserError(
            f"{source}: {name}: expected labels from 0 to {classes - 1}; got "
            f"{labels[bad[0]]} in row {bad[0]}"
        )

"""Archives of elites in an `.npz`: their genomes, what they do, and how well."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from neuroevo.errors import UserError
from neuroevo.store import genome_file, npz
from neuroevo.store.files import atomic_write
from neuroevo.store.genome_file import GenomeFile
from neuroevo.types import Archive, Descriptor, Elites

FORMAT = "neuroevo-archive"
VERSION = 1
_GENOMES = "genomes/"
_MOST_CELLS = 2**28
_OWN = ("fitness", "descriptors", "places")


class Grid(NamedTuple):
    """The grid of an archive with D dimensions."""

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    cells: tuple[int, ...]
    offset: float = 0.0

    @classmethod
    def of(cls, descriptor: Descriptor, archive: Archive) -> Self:
        """Return the grid of a strategy's archive."""
        low, high = (tuple(map(float, x)) for x in (descriptor.low, descriptor.high))
        return cls(descriptor.names, low, high, archive.cells, archive.offset)

    def places(self, descriptors: np.ndarray) -> np.ndarray:
        """Return the cells (K, D) that descriptors (K, D) lie in."""
        low = np.asarray(self.low, np.float32)
        shares = (descriptors - low) / (np.asarray(self.high, np.float32) - low)
        cells = np.asarray(self.cells)
        return np.clip(np.floor(shares * cells), 0, cells - 1).astype(int)


class ArchiveFile(NamedTuple):
    """The content of an archive file, or the equivalent in memory: K elites.

    Attributes:
        path: the file.
        genomes: (K, …) by name, as in a genome file.
        fitness: (K,), as it was when they entered the archive.
        descriptors: (K, D), likewise.
        places: (K, D) integers, their cells in the grid.
        grid: the grid.
        shared: what a genome file has besides: constants and observation statistics.
        meta: how to decode them.

    Example:
        >>> archive = ArchiveFile(
        ...     path=Path("archive.npz"),
        ...     genomes={"w": np.zeros((2, 3))},
        ...     fitness=np.array([1.0, 4.0]),
        ...     descriptors=np.array([[0.1], [0.9]]),
        ...     places=np.array([[0], [4]]),
        ...     grid=Grid(("x",), (0.0,), (1.0,), (5,), offset=-1.0),
        ...     shared={},
        ...     meta={},
        ... )
        >>> archive.coverage, archive.qd_score, archive.nearest([0.7])
        (0.4, 7.0, 1)
        >>> archive.fitness_by_cell
        array([ 1., nan, nan, nan,  4.])
    """

    path: Path
    genomes: Mapping[str, np.ndarray]
    fitness: np.ndarray
    descriptors: np.ndarray
    places: np.ndarray
    grid: Grid
    shared: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]

    @property
    def coverage(self) -> float:
        """The share of the cells that are filled."""
        return len(self.fitness) / math.prod(self.grid.cells)

    @property
    def qd_score(self) -> float:
        """The sum of the elites' fitness above the offset."""
        return float(np.sum(self.fitness - self.grid.offset))

    @property
    def fitness_by_cell(self) -> np.ndarray:
        """The fitness in each cell, as an array with D axes; NaN in empty ones."""
        found = np.full(self.grid.cells, np.nan)
        found[tuple(self.places.T)] = self.fitness
        return found

    def nearest(self, wanted: Sequence[float]) -> int:
        """Return the number of the elite that does nearly what is `wanted`.

        Distances are measured as shares of the ranges.

        Args:
            wanted: a descriptor.

        Raises:
            UserError: for a descriptor that does not fit, or if there are no elites.
        """
        names, low, high = self.grid[:3]
        try:
            numbers = np.atleast_1d(np.asarray(wanted, float))
        except (TypeError, ValueError):
            numbers = np.zeros(0)
        if numbers.shape != (len(names),) or not np.isfinite(numbers).all():
            count = f"{len(names)} numbers" if len(names) > 1 else "a number"
            raise UserError(
                f"elite: expected {count}, {', '.join(names)}, got {wanted!r:.60}"
            )
        if not len(self.fitness):
            raise UserError(f"{self.path}: its archive is empty; expected an elite")
        apart = (self.descriptors - numbers) / np.subtract(high, low)
        return int(np.argmin(np.sum(apart**2, axis=1)))

    def about(self, index: int) -> dict[str, Any]:
        """Return what is known of an elite, for the description in its file."""
        numbers = map(float, self.descriptors[index])
        described = dict(zip(self.grid.names, numbers, strict=True))
        fitness = float(self.fitness[index])
        return {"elite": {"descriptor": described, "fitness": fitness}}

    def elite(self, index: int) -> GenomeFile:
        """Return an elite as the content of a genome file."""
        genome = {name: array[index] for name, array in self.genomes.items()}
        meta = {**self.meta, **self.about(index)}
        return GenomeFile(self.path, {**self.shared, **genome}, meta)


def missing(strategy: str) -> UserError:
    """Return the error for a run whose strategy keeps no archive."""
    return UserError(f"strategy {strategy} keeps no archive; expected MAPElites")


def collect(
    elites: Elites, grid: Grid, shared: Mapping[str, Any], meta: Mapping[str, Any]
) -> ArchiveFile:
    """Return the filled cells of an archive."""
    fitness = np.asarray(elites.fitness)
    cells = np.flatnonzero(np.isfinite(fitness))
    named = genome_file.to_arrays(elites.genomes)
    return ArchiveFile(
        path=Path("the archive in memory"),
        genomes={name: np.asarray(array)[cells] for name, array in named.items()},
        fitness=fitness[cells],
        descriptors=np.asarray(elites.descriptors)[cells],
        places=np.stack(np.unravel_index(cells, grid.cells), axis=1),
        grid=grid,
        shared={name: np.asarray(array) for name, array in shared.items()},
        meta=meta,
    )


def save(path: Path, archive: ArchiveFile) -> None:
    """Write an archive file, in one step."""
    meta = {**archive.meta, "grid": archive.grid._asdict()}
    text = genome_file.meta_to_json({"format": FORMAT, "version": VERSION} | meta)
    content = {
        "meta": np.array(text),
        **{name: getattr(archive, name) for name in _OWN},
        **{f"{_GENOMES}{name}": array for name, array in archive.genomes.items()},
        **{f"shared/{name}": array for name, array in archive.shared.items()},
    }
    atomic_write(path, lambda file: npz.write(file, content))


def load(path: Path) -> ArchiveFile:
    """Read an archive file.

    Raises:
        UserError: if it is none.
    """
    arrays, meta = genome_file.read(path, FORMAT, "an archive (.npz)")
    grid: Any = meta.get("grid")
    try:
        names, low, high, cells, offset = (grid[key] for key in Grid._fields)
        made = Grid(tuple(names), tuple(low), tuple(high), tuple(cells), float(offset))
        fitness, descriptors, places = (arrays[name] for name in _OWN)
        genomes = _within(arrays, _GENOMES)
        shape = (len(fitness), len(made.names))
        fits = _is_sound(made)
        fits &= fitness.dtype.kind == descriptors.dtype.kind == "f"
        fits &= places.dtype.kind in "iu" and fitness.ndim == 1
        fits &= descriptors.shape == places.shape == shape
        fits &= bool((places >= 0).all() and (places < np.array(made.cells)).all())
        fits &= all(len(array) == len(fitness) for array in genomes.values())
    except (KeyError, TypeError, ValueError, IndexError):
        fits = False
    if not fits:
        raise UserError(f"{path}: not an archive (.npz): its arrays do not fit")
    shared = _within(arrays, "shared/")
    meta = {k: v for k, v in meta.items() if k not in ("grid", "format", "version")}
    return ArchiveFile(path, genomes, fitness, descriptors, places, made, shared, meta)


def _is_sound(grid: Grid) -> bool:
    """Return whether what a file says is a grid, of at most `_MOST_CELLS` cells."""
    low, high = (np.array(end, float) for end in (grid.low, grid.high))
    return (
        len(grid.names) == len(low) == len(high) == len(grid.cells) > 0
        and all(isinstance(name, str) for name in grid.names)
        and all(type(count) is int and count > 0 for count in grid.cells)
        and math.prod(grid.cells) <= _MOST_CELLS
        and bool((low < high).all())
    )


def _within(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)
    }

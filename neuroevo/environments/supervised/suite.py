"""Labeled data by name, in the place of an environment."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Interval

from neuroevo.environments.supervised import files
from neuroevo.environments.supervised.labeled import (
    Labeled,
    Metric,
    Splits,
    hold_out,
    make_objective,
)
from neuroevo.errors import UserError
from neuroevo.types import Objective

_SUGGESTS: Mapping[str, object] = {"episodes": 1, "final_episodes": 1}
_FASHION = (
    "T-shirt",
    "trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


@dataclasses.dataclass(frozen=True)
class _Supervised:
    """Options of all labeled data."""

    batch_size: Annotated[int, Ge(1)] | None = 256
    """Training examples in a minibatch, on which the candidates of a generation are
    measured; none: all of them."""
    validation: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    """Share of the training examples that only the center is measured on; with 0, it is
    measured on all training examples."""
    split_seed: Annotated[int, Interval(ge=0, le=2**32 - 1)] = 0
    """Seed of the split into training, validation and test."""

    suggests: ClassVar[Mapping[str, object]] = _SUGGESTS


@dataclasses.dataclass(frozen=True)
class _Classified(_Supervised):
    """Options of classification."""

    metric: Metric = "accuracy"
    """What the search maximizes: the accuracy in percent, or minus the cross-entropy.
    The center and the result are always measured by their accuracy."""


@dataclasses.dataclass(frozen=True)
class _GrayImages(_Classified):
    """Options of images in shades of gray."""

    def draw(self, axes: Any, image: Any) -> None:
        """Draw an image: see `neuroevo.traits.Draw`."""
        axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()


@dataclasses.dataclass(frozen=True)
class Digits(_GrayImages):
    """Recognize handwritten digits in images of 8x8 (scikit-learn's)."""

    test: Annotated[float, Interval(gt=0, lt=1)] = 0.2
    """Share of the examples that is for the final test."""

    actions: ClassVar[tuple[str, ...]] = tuple(map(str, range(10)))

    def build(self) -> Objective:
        """Return the objective of recognizing the digits."""
        rest, test = hold_out(files.read_digits(), self.test, self.split_seed, 0)
        return _build(self, rest, test, classes=10, metric=self.metric)


@dataclasses.dataclass(frozen=True)
class FashionMNIST(_GrayImages):
    """Recognize clothes in images of 28x28 (arXiv 1708.07747)."""

    folder: Path = Path("/usr/share/datasets/fashion-mnist")
    """Folder with the four idx files; Debian's package dataset-fashion-mnist."""

    actions: ClassVar[tuple[str, ...]] = _FASHION

    def build(self) -> Objective:
        """Return the objective of recognizing the clothes."""
        rest, test = files.read_idx_folder(self.folder, "dataset-fashion-mnist")
        for labels in (rest.targets, test.targets):
            files.check_labels(str(self.folder), "labels", labels, 10)
        return _build(self, rest, test, classes=10, metric=self.metric)


@dataclasses.dataclass(frozen=True)
class Npz(_Classified):
    """Predict the labels, or targets (regression), in an .npz file."""

    file: Path | None = None
    """The file. Inputs that are bytes (uint8) are divided by 255."""
    classes: Annotated[int, Ge(2)] | None = None
    """Number of classes; none: one more than the largest label."""
    test: Annotated[float, Interval(gt=0, lt=1)] = 0.2
    """Share of the examples that is for the final test, if the file has no
    test_inputs."""

    def build(self) -> Objective:
        """Return the objective of predicting the labels or the targets."""
        if self.file is None:
            raise UserError(
                "environment npz: expected --env.file FILE.npz with arrays inputs, and "
                "labels or targets"
            )
        rest, test = files.read_npz(self.file)
        classes = None
        if rest.targets.dtype.kind == "i":
            classes = self._count_classes(rest, test)
        if test is None:
            rest, test = hold_out(rest, self.test, self.split_seed, 0)
        return _build(self, rest, test, classes=classes, metric=self.metric)

    def _count_classes(self, rest: Labeled, test: Labeled | None) -> int:
        every = [each.targets for each in (rest, test) if each is not None]
        largest = max(int(labels.max(initial=0)) for labels in every)
        classes = self.classes or max(2, largest + 1)
        for name, labels in zip(("labels", "test_labels"), every, strict=False):
            files.check_labels(str(self.file), name, labels, classes)
        return classes


def _build(
    options: _Supervised,
    rest: Labeled,
    test: Labeled,
    *,
    classes: int | None,
    metric: Metric,
) -> Objective:
    train, validation = hold_out(rest, options.validation, options.split_seed, 1)
    return make_objective(
        Splits(train, validation, test),
        classes=classes,
        batch_size=options.batch_size,
        metric=metric,
    )


_ALL: Mapping[str, type] = {
    "digits": Digits,
    "fashion-mnist": FashionMNIST,
    "npz": Npz,
}


def names() -> list[str]:
    """Return the available names."""
    return list(_ALL)


def config(name: str) -> type:
    """Return the dataclass of options for the data `name`."""
    return _ALL[name]

"""Labels of pairs that are not evolved: every action occurs as often."""

import numpy as np

from neuroevo.spaces import Discrete, MultiDiscrete


def fixed_labels(size: int, action: Discrete | MultiDiscrete) -> np.ndarray:
    """Return (size,) or (size, choices) labels in which every value is as frequent.

    Of several choices, each further one lags behind the one before by a row whenever
    all of its values have occurred, so that the combinations differ.
    """
    if isinstance(action, Discrete):
        return balanced_labels(size, action.n)
    row, lag = np.arange(size, dtype=np.int32), np.int32(max(action.counts))
    columns = [(row + i * (row // lag)) % n for i, n in enumerate(action.counts)]
    return np.stack(columns, axis=-1).astype(np.int32)


def balanced_labels(size: int, n: int) -> np.ndarray:
    """Return (size,) sorted int32 labels, spread evenly over the `n` actions.

    If `size` is not a multiple of `n`, the first ``size % n`` actions get one more row
    than the others: 16 rows for 3 actions are six 0, five 1 and five 2.
    """
    return np.sort(np.arange(size, dtype=np.int32) % n)

"""How much a compiled call of a long evaluation may do: about a second's worth."""

import numpy as np

from neuroevo.progress import Allowance, Spent

CALL_SECONDS = 1.0  # how long the host aims to be away from signals and the display
_DECAY = 0.9  # of what earlier calls have taught, with every further call
_LEAST = 0.1  # share of a call's time that steps, and entries, are charged at least


class Pace:
    """Estimates what steps and entries cost, from the seconds that calls take.

    With both prices, devices that do different things in a call end it at the same
    time. The estimates affect how often the host sees an evaluation, but no results.

    >>> pace = Pace()
    >>> for _ in range(99):
    ...     allowance = pace.allowance()
    ...     entries = pace.calls % 3
    ...     steps = (1 - entries * allowance.entry) // allowance.step
    ...     spent = Spent(np.array([steps]), np.array([entries]))
    ...     pace.measure(spent, 0.002 * steps + 0.1 * entries)
    >>> [round(float(price), 3) for price in pace.allowance()]
    [1.0, 0.002, 0.1]
    """

    def __init__(self) -> None:
        """Start with prices that are meant to be too high."""
        self.calls = 0
        self._prices = CALL_SECONDS * np.array([1 / 16, 1])  # of a step, of an entry
        # The normal equations for the prices.
        self._squares, self._times = np.zeros((2, 2)), np.zeros(2)

    def allowance(self) -> Allowance:
        """Return what the next call may spend."""
        step, entry = map(np.float32, self._prices)
        return Allowance(np.float32(CALL_SECONDS), step, entry)

    def measure(self, spent: Spent, seconds: float) -> None:
        """Learn from a call in which each device has `spent` so much, (devices,)."""
        each = np.stack(spent, axis=-1)
        done = each[np.argmax(each @ self._prices)]  # the others have waited for it
        self.calls += 1
        self._squares = _DECAY * self._squares + np.outer(done, done)
        self._times = _DECAY * self._times + done * seconds
        # What a call does not tell stays as it was.
        ridge = np.diag(1e-3 * np.diag(self._squares) + 1e-9)
        prices = np.linalg.solve(
            self._squares + ridge, self._times + ridge @ self._prices
        )
        shares = np.where(done > 0, _LEAST * seconds / np.maximum(done, 1), 0)
        self._prices = np.maximum(prices, np.maximum(shares, self._prices / 4))

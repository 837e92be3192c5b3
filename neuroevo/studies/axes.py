"""The axes of a transfer study: what varies, in which range, and over which values.

Apart from `transfer`, so that the command line knows them without importing JAX.
"""

import math
from typing import Annotated, Any

from annotated_types import Gt, Predicate

from neuroevo.config.ranges import Count, CountOrZero

# The settings that vary, slowest first, with the options that hold their values.
AXES = {
    "depth": "depths",
    "width": "widths",
    "activation": "activations",
    "optimizer": "optimizers",
    "learning_rate": "learning_rates",
    "steps": "steps",
}
# What is compared unless a user says otherwise.
WIDTHS = (64, 128, 256, 512, 1024)
ACTIVATIONS = ("tanh", "relu")

Rate = Annotated[float, Gt(0), Predicate(math.isfinite)]
NUMBERS: dict[str, Any] = {  # the type of each axis of numbers, with its range
    "depth": Count,
    "width": Count,
    "learning_rate": Rate,
    "steps": CountOrZero,
}

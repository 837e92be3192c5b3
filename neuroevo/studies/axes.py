"""The axes of a transfer study: the settings that vary, with ranges and defaults.

They are separate from `transfer`, so that the command line need not import JAX.
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

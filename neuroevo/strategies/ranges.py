"""Ranges that several strategies' options have."""

import math
from typing import Annotated

from annotated_types import Ge, Gt, Predicate

Positive = Annotated[float, Gt(0), Predicate(math.isfinite)]
NotNegative = Annotated[float, Ge(0), Predicate(math.isfinite)]

"""Problems that an environment of any suite may have, each in one line."""

import contextlib
from collections.abc import Iterator

from neuroevo.errors import UserError, in_one_line


@contextlib.contextmanager
def making(name: str) -> Iterator[None]:
    """Report in one line that the environment `name` cannot be made in the block.

    Raises:
        UserError: for any error, as the makers of environments may raise anything.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {in_one_line(error)}"
        raise UserError(f"environment {name} could not be made: {reason}") from error

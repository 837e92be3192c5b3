"""Extracts system errors from those of orbax-checkpoint 0.12.

orbax has no public way to distinguish a full disk from a damaged file: its underlying
library, tensorstore, writes the system's error number into the message of a ValueError.
orbax also logs, with a traceback, the errors that it raises later.
"""

import logging
import re
from pathlib import Path

_ERROR_CODE = re.compile(r"\[os_error_code='(\d+)'\]")


def os_error_number(error: BaseException) -> int | None:
    """Return the number of the system's error behind `error`, or None."""
    if isinstance(error, OSError):
        return error.errno
    found = _ERROR_CODE.search(str(error))
    return int(found[1]) if found else None


def silence_log() -> None:
    """Silence orbax's log of errors, which the caller reports."""
    logging.getLogger("absl").addFilter(_not_of_orbax)  # adding it again does nothing


def _not_of_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in Path(record.pathname).parts

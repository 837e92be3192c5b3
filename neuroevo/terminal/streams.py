"""Streams whose readers may leave."""

import io
import os
from typing import Any, TextIO


class _Patient(io.FileIO):
    """A file that accepts all text after its reader has left."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return super().write(data)


def unbreakable(stream: TextIO) -> TextIO:
    """Return a stream to the same file, on which a closed pipe is no error.

    For messages beside a long computation, such as a run's progress: whoever stops
    reading them, as ``head`` does, must not end it.
    """
    file = _Patient(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
    )

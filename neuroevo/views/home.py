"""A folder for matplotlib's files, for users without a home."""

import atexit
import os
import shutil
from pathlib import Path

_VARIABLE = "MPLCONFIGDIR"


def provide() -> None:
    """Give matplotlib a temporary folder if it cannot use one in the user's home.

    It would take a temporary folder by itself, after a paragraph on stderr. Call this
    before matplotlib is imported, which brax does, too.
    """
    if os.environ.get(_VARIABLE) or all(map(_is_usable, _folders())):
        return
    import tempfile

    folder = tempfile.mkdtemp(prefix="neuroevo-matplotlib-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[_VARIABLE] = folder


def _folders() -> list[Path | None]:
    """Return the folders for matplotlib's settings and cache; None without a home."""
    try:
        home = Path.home()
    except RuntimeError:
        return [None]
    names = {"XDG_CONFIG_HOME": ".config", "XDG_CACHE_HOME": ".cache"}
    places = [os.environ.get(name) or home / last for name, last in names.items()]
    return [Path(place) / "matplotlib" for place in places]


def _is_usable(folder: Path | None) -> bool:
    """Return whether `folder` exists and is writable, or can be made."""
    if folder is None:
        return False
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)

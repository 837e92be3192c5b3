"""Keeps MuJoCo, and what is built on it, from printing."""

import contextlib
import io
import warnings
from collections.abc import Iterator

_TALKERS = r"(brax|mujoco|mujoco_playground|jaxopt)\b"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep brax and MuJoCo from printing, and MuJoCo from writing MUJOCO_LOG.TXT."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=_TALKERS)
        import mujoco

        handler = mujoco.get_mju_user_warning()
        mujoco.set_mju_user_warning(lambda message: None)
        try:
            yield
        finally:
            mujoco.set_mju_user_warning(handler)

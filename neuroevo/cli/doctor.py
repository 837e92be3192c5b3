"""``neuroevo doctor``: check the installation."""

import dataclasses
import traceback

from neuroevo.cli.common import Json
from neuroevo.config.command import Command, Line


@dataclasses.dataclass(frozen=True)
class Options(Json):
    """Options of ``doctor``."""


COMMAND = Command(
    "neuroevo doctor [OPTIONS]",
    Options,
    "Report what is installed on this machine, and check that it works.",
)


def run(line: Line) -> int:
    """Check the installation, and return the exit code: 1 if it does not work."""
    from neuroevo.cli import diagnosis
    from neuroevo.store.files import to_json
    from neuroevo.terminal import listings
    from neuroevo.terminal.console import make_console

    found = diagnosis.examine()
    try:
        found["self_test"] = diagnosis.self_test()
    except Exception:
        traceback.print_exc()
        found["self_test"] = None
    if line.options.json:
        print(to_json(found))
    else:
        listings.render_doctor(found, make_console())
    return 0 if found["self_test"] else 1

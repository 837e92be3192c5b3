"""Run the command line: ``neuroevo``, or ``python -m neuroevo``."""

import gc
import sys
from collections.abc import Sequence

from neuroevo.errors import UserError, check_system


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, see `neuroevo.cli.main`."""
    try:
        check_system()  # before modules that other systems lack
    except UserError as error:
        print(f"neuroevo: {error}", file=sys.stderr)
        sys.exit(2)
    # To import and to trace a physics engine makes millions of objects that stay. By
    # default Python looks through them for garbage all the time: 3.8 s of the 12.8 s
    # that hopper takes to its first generation.
    gc.set_threshold(200_000)
    from neuroevo.cli import main as cli

    gc.freeze()
    cli.main(arguments)


if __name__ == "__main__":
    main()

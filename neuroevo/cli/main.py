"""The command line: ``neuroevo COMMAND``."""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence

import neuroevo
from neuroevo.cli.commands import COMMANDS, load, usage
from neuroevo.errors import ProcessError, UserError, unknown
from neuroevo.terminal.ascii import tolerate
from neuroevo.terminal.streams import unbreakable
from neuroevo.views import home


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code.

    The codes are 0 for success, 1 for a bug in neuroevo or a failed run of a sweep, 2
    for a user's mistake, and 130 for an interruption (143 by SIGTERM).
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Hide warnings of XLA's compiler, about slow compilation for example.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    home.provide()
    if sys.__stderr__ is not None and sys.stderr is sys.__stderr__:
        sys.stderr = unbreakable(sys.__stderr__)
    tolerate(sys.stdout, sys.stderr)
    try:
        code = _dispatch(words)
        if sys.stdout is not None:
            sys.stdout.flush()
    except UserError as error:
        print(f"neuroevo: {error}", file=sys.stderr)
        code = 2
    except ProcessError as error:
        print(f"neuroevo: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt as error:
        print("neuroevo: interrupted", file=sys.stderr)
        code = 128 + (error.args[0] if error.args else signal.SIGINT)
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if _is_full(error):
            print(f"neuroevo: the output cannot be written: {error}", file=sys.stderr)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif not _is_distributed():
            raise
        else:
            traceback.print_exc()
        code = 1
    if _is_distributed():
        sys.modules["neuroevo.multihost"].leave(code)
    sys.exit(code)


def _dispatch(words: list[str]) -> int:
    match words:
        case [] | ["-h" | "--help", *_]:
            print(usage(), end="")
            return 0
        case ["--version", *_]:
            print(f"neuroevo {neuroevo.__version__}")
            return 0
        case [name, *rest] if name in COMMANDS:
            from neuroevo.config.command import read  # imports the parser

            command = load(name)
            return command.run(read(command.COMMAND, rest))
    raise unknown("command", words[0], COMMANDS)


def _is_full(error: Exception) -> bool:
    """Return whether `error` is that of a stream that takes no more."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
    return isinstance(error, OSError) and error.errno in full and not error.filename


def _is_distributed() -> bool:
    """Return whether there are other processes, without importing anything for it."""
    multihost = sys.modules.get("neuroevo.multihost")
    return multihost is not None and multihost.is_distributed()

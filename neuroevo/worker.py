"""Runs command lines that arrive one after another: runs of a sweep share a process.

    python -m neuroevo.worker REPLIES

Each line of the standard input is a JSON list of words. The exit code of each command
goes to the file descriptor REPLIES, and the process ends with the first that failed.
"""

import json
import os
import sys

from neuroevo import __main__ as neuroevo


def main() -> None:
    """Run the commands."""
    with os.fdopen(int(sys.argv[1]), "w", encoding="ascii", buffering=1) as replies:
        for line in sys.stdin:
            try:
                neuroevo.main(json.loads(line))
            except SystemExit as ended:
                print(ended.code, file=replies)
                if ended.code:
                    raise


if __name__ == "__main__":
    main()

"""Run the command line with ``python -m neuroevo``."""

from neuroevo.cli import main

main()

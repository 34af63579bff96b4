"""``python -m pyro_dcign``: the command line."""

from pyro_dcign.cli import main

main()

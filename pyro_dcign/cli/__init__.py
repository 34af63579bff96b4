"""The command line: ``pyro-dcign COMMAND``, one module for each command."""

from pyro_dcign.cli.app import COMMANDS, app, main

__all__ = ["COMMANDS", "app", "main"]

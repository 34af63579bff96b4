"""The command line: ``pyro-dcign COMMAND``.

A command's module is imported when the command runs, so that ``--help`` does not load torch.
"""

import importlib
import io
import os
import sys
from collections.abc import Sequence

import click

from pyro_dcign import __version__
from pyro_dcign.errors import InputError

COMMANDS = {
    "fit": "Train a network and say what it learned.",
    "data": "Make, import, check and show data sets.",
    "evaluate": "Measure how well a run reconstructs, disentangles and edits.",
    "check": "Say in plain words whether the posterior is right.",
    "compare": "Train guides on the same data, seeds and order: one table.",
    "render": "Re-render a picture under other poses and lights.",
    "explore": "Write a page in which a network is turned by hand.",
    "export": "Write a network as ONNX files.",
    "doctor": "Show versions and devices, and what a fit here would use.",
}
"""Each command's one-line help; its function of the same name lives in the module of that name."""


class LazyGroup(click.Group):
    """A group that imports ``pyro_dcign.cli.<command>`` when the command is first needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of a user's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"{__package__}.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pyro-dcign")
def app() -> None:
    """Deep Convolutional Inverse Graphics Network: one photo in, new views out."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; bad input ends in one line on stderr and exit status 2."""
    if arguments is None and sys.flags.optimize > 1:
        # Pyro formats its own docstrings when it is imported; -OO removes them, -O does not.
        os.environ["PYTHONOPTIMIZE"] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "pyro_dcign", *sys.argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A letter that the terminal lacks is replaced; a crash would lose minutes of work.
            stream.reconfigure(errors="replace")
    try:
        code = app.main(args=arguments, prog_name="pyro-dcign", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        line = " ".join(error.format_message().split())
    except InputError as error:
        line = " ".join(str(error).split())
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        line = f"expected to read or write{where}, got: {error.strerror or error}; check the path, "
        line += "its permissions and the free space"
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        os._exit(130)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        line = f"expected enough memory, got: {str(error).partition('.')[0] or 'none left'}; lower "
        line += "--minibatches or --side, or free some"
    click.echo(f"Error: {line}", err=True)
    sys.exit(2)


def _out_of_memory(error: Exception) -> bool:
    """Whether Python, PyTorch on a CPU or PyTorch on a GPU found no memory."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )

"""A process that loads everything once, then forks a fit for each line that it is sent.

A line has the words of ``pyro-dcign fit``; the answer is the process id of the fit, and its exit
status in a second line once it has ended. Forks start in milliseconds, so hundreds can be killed.
"""

import os
import sys

import torch
from fake_scene import FakeScene  # noqa: F401

import pyro_dcign.cli.fit
import pyro_dcign.training.train  # noqa: F401
from pyro_dcign.cli import main


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def serve() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os.setpgid(0, 0)
            with open(os.devnull, "w", encoding="utf-8") as silent:
                os.dup2(silent.fileno(), 1)
            main(["fit", *line.split()])
        say(child)
        _, status = os.waitpid(child, 0)
        say(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    serve()

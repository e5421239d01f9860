"""Words on the command line to the command that runs them, and faults to words."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from tyro.conf import subcommand

from simcrop_core import __version__
from simcrop_core.cli.bench import Bench
from simcrop_core.cli.check import Check
from simcrop_core.cli.console import exit_code
from simcrop_core.cli.demo import Demo
from simcrop_core.cli.findings import Findings
from simcrop_core.cli.ground import Ground
from simcrop_core.cli.info import Info
from simcrop_core.cli.phantom import Phantom
from simcrop_core.cli.segment import Segment
from simcrop_core.cli.serve import Serve
from simcrop_core.cli.view import View
from simcrop_core.cli.weights import WeightsConvert, WeightsImport, WeightsList, WeightsVerify

DESCRIPTION = f"""simcrop {__version__}: where in a chest CT is this sentence of its report?

Research software, not a medical device: not for diagnosis or treatment."""


@dataclass(frozen=True, slots=True)
class Weights:
    """List, import, verify and convert weights."""

    command: (
        Annotated[WeightsList, subcommand("list")]
        | Annotated[WeightsImport, subcommand("import")]
        | Annotated[WeightsVerify, subcommand("verify")]
        | Annotated[WeightsConvert, subcommand("convert")]
    )

    def run(self) -> int:
        """Run the named one."""
        return self.command.run()


Command = (
    Annotated[Ground, subcommand("ground")]
    | Annotated[Findings, subcommand("findings")]
    | Annotated[Segment, subcommand("segment")]
    | Annotated[Info, subcommand("info")]
    | Annotated[Check, subcommand("check")]
    | Annotated[Weights, subcommand("weights")]
    | Annotated[Bench, subcommand("bench")]
    | Annotated[Demo, subcommand("demo")]
    | Annotated[Phantom, subcommand("phantom")]
    | Annotated[Serve, subcommand("serve")]
    | Annotated[View, subcommand("view")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `simcrop`. Exit code 0: done; 1: the input or the environment is at fault; 2: usage."""
    for stream in (sys.stdout, sys.stderr):
        # Windows writes redirected output in a code page that has neither "≥" nor "→".
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    command: Ground | Findings | Segment | Info | Check | Weights | Bench | Demo | Phantom | Serve | View = tyro.cli(
        Command,
        prog="simcrop",
        description=DESCRIPTION,
        args=arguments or ["--help"],
        config=(tyro.conf.OmitSubcommandPrefixes,),
    )
    sys.exit(exit_code(command.run))

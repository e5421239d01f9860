"""The `simcrop` command: one file a subcommand."""

from simcrop_core.cli.main import main

__all__ = ["main"]

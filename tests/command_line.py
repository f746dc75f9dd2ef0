"""The command line in this process, against a running server."""

from __future__ import annotations

from click.testing import Result
from typer.testing import CliRunner

from fleetward.cli import cli
from running_server import RunningServer


def command(server: RunningServer, *arguments: str) -> Result:
    """What `fleetward ARGUMENTS` prints about that server, and its exit code."""
    return CliRunner().invoke(cli, [*arguments, "--data-dir", str(server.data_dir)])

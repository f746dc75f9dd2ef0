"""From a command to the running server: its settings, where it is, and what it answers."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetward.settings import Settings

if TYPE_CHECKING:
    from fleetward.client import ServerInfo

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of the running server; by default as `fleetward serve` would choose it."),
]
PAGE = 250


def settings(given: dict[str, Any]) -> Settings:
    """The settings with those of the command line; what is wrong with them is told line by line, exit code 2."""
    import tomllib

    from pydantic import ValidationError

    try:
        return Settings(**given)
    except ValidationError as error:
        for problem in error.errors():
            typer.echo(f"fleetward: {_complaint(problem)}", err=True)
    except tomllib.TOMLDecodeError as error:
        typer.echo(f"fleetward: fleetward.toml is not TOML: {error}", err=True)
    raise typer.Exit(2)


def _complaint(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"setting {name}: {problem['msg']} (given: {problem['input']!r})"
    close = difflib.get_close_matches(name, Settings.model_fields, n=1)
    return f"fleetward.toml: there is no setting {name}{f'; did you mean {close[0]}?' if close else ''}"


def server(given: Path | None, failing: int = 1) -> ServerInfo:
    """The server that runs on the data folder; without one, exit code `failing`."""
    from fleetward.client import ServerInfo

    data_dir = given or settings({}).data_dir
    found = ServerInfo.load(data_dir)
    if found is None:
        typer.echo(
            f"fleetward: no server runs on {data_dir}. Start one with: fleetward serve --data-dir {data_dir}", err=True
        )
        raise typer.Exit(failing)
    return found


def call(data_dir: Path | None, operation: str, failing: int = 1, **params: Any) -> Any:
    """What the running server answers to an operation of the service `fleetward`.

    A refusal becomes one line and the exit code `failing`.
    """
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    from fleetward.client import clients

    try:
        answer = getattr(clients(server(data_dir, failing))("fleetward"), operation)(**params)
    except ClientError as error:
        typer.echo(f"fleetward: {error.response['Error'].get('Message') or error}", err=True)
    except ParamValidationError as error:
        typer.echo(f"fleetward: {error.kwargs['report']}", err=True)
    except BotoCoreError as error:
        typer.echo(f"fleetward: the server does not answer: {error}", err=True)
    else:
        answer.pop("ResponseMetadata")
        return answer
    raise typer.Exit(failing)


def every(data_dir: Path | None, operation: str, member: str, **params: Any) -> Iterator[Any]:
    """The items of a list, page by page."""
    token: dict[str, Any] = {}
    while True:
        answer = call(data_dir, operation, maxResults=PAGE, **params, **token)
        yield from answer[member]
        if not answer.get("nextToken"):
            return
        token = {"nextToken": answer["nextToken"]}

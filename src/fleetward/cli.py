"""The commands. Each imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import inspect
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from fleetward import __version__
from fleetward.commands.connection import DataDir, call, server, settings
from fleetward.commands.violations import violations
from fleetward.settings import Settings

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # Plain help: the framed one cuts long flags short.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Notice the IoT device that misbehaves, and cut it off.",
)


@cli.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"fleetward {__version__}")
        raise typer.Exit


def _serve(**options: Any) -> None:
    """Run the server until it is told to stop (Ctrl-C or SIGTERM)."""
    from fleetward.server import run

    _forget_exports()
    given = {name: value for name, value in options.items() if value not in (None, [], ())}
    raise typer.Exit(run(settings(given)))


def _forget_exports() -> None:
    """What `fleetward env` exported says where a server is found, not where the next one is to listen."""
    if "FLEETWARD_CA_FILE" in os.environ:
        for name in ("FLEETWARD_MQTT_HOST", "FLEETWARD_MQTT_PORT"):
            if os.environ.pop(name, None) is not None:
                typer.echo(f"fleetward: {name} comes from `fleetward env` and is not taken as a setting", err=True)


def _option(name: str) -> inspect.Parameter:
    """The command-line option of one setting; unset means: environment, then TOML, then the default."""
    field = Settings.model_fields[name]
    kind = field.annotation
    flag = f"--{name.replace('_', '-')}"
    if kind is bool:
        annotation: Any = bool | None
        flag = f"{flag}/--no-{name.replace('_', '-')}"
    elif kind == list[str]:
        annotation = list[str] | None
    else:
        plain = next((part for part in (kind, *get_args(kind)) if part in (int, str, Path)), str)
        annotation = plain | None
    choices = [str(choice) for choice in get_args(kind) if isinstance(choice, str | int)]
    told = f"{field.description}{' One of ' + ', '.join(choices) + '.' if choices else ''}"
    default = "" if field.default in (None, []) else f" (default: {field.default})"
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[annotation, typer.Option(flag, help=told + default, show_default=False)],
    )


def _with_every_setting(command: Any) -> Any:
    parameters = [_option(name) for name in Settings.model_fields]
    command.__signature__ = inspect.Signature(parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


cli.command("serve")(_with_every_setting(_serve))
cli.add_typer(violations, name="violations")


@cli.command()
def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="Stop when the story ends.")] = False,
    window_seconds: Annotated[int, typer.Option(min=5, max=3600, help="Length of the story's windows.")] = 10,
) -> None:
    """Tell the whole story live: a sensor turns bad, is noticed, and is cut off."""
    from fleetward.simulate.story import tell

    raise typer.Exit(tell(stay=not exit_, window_seconds=window_seconds))


@cli.command()
def env(data_dir: DataDir = None) -> None:
    """Print shell exports that point boto3, the AWS CLI and devices at the running server."""
    found = server(data_dir)
    for name, value in {
        "AWS_ENDPOINT_URL": found.endpoint_url,
        "AWS_ACCESS_KEY_ID": found.access_key_id,
        "AWS_SECRET_ACCESS_KEY": found.secret_access_key,
        "AWS_DEFAULT_REGION": found.region,
        "FLEETWARD_CA_FILE": found.ca_file,
        "FLEETWARD_MQTT_HOST": found.mqtt_host,
        "FLEETWARD_MQTT_PORT": str(found.mqtt_port),
        **({"AWS_CA_BUNDLE": found.api_ca_file} if found.api_ca_file else {}),
    }.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@cli.command()
def outbox(
    data_dir: DataDir = None,
    last: Annotated[int, typer.Option(min=1, max=250, help="How many mails, newest last.")] = 20,
) -> None:
    """Show the e-mails that landed in the local outbox."""
    mails = call(data_dir, "list_outbox", maxResults=last)["mails"]
    if not mails:
        typer.echo("The outbox is empty. (With an SMTP server in the settings mail goes there instead.)")
    for mail in reversed(mails):
        typer.echo(f"{mail['timestamp']:%Y-%m-%d %H:%M:%S}  to {mail['to']}\n  {mail['subject']}\n")
        typer.echo("\n".join(f"    {line}" for line in mail["body"].splitlines()) + "\n")


@cli.command()
def refusals(
    data_dir: DataDir = None,
    last: Annotated[int, typer.Option(min=1, max=250, help="How many, newest last.")] = 20,
) -> None:
    """Show the refused connections that are no certain thing's; a thing's own are in its activity."""
    refused = call(data_dir, "list_refusals", maxResults=last)["activity"]
    for one in reversed(refused):
        certificate = one["certificateId"][:16] or "none"
        typer.echo(f"{one['time']:%Y-%m-%d %H:%M:%S}  {one['clientId']!r} from {one['sourceIp']}: {one['reason']}")
        typer.echo(f"  certificate {certificate}")
    if not refused:
        typer.echo("No connection was refused that is not in the activity of its thing.")


@cli.command()
def quarantine(
    thing: Annotated[str, typer.Argument(help="Name of the thing.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "by hand",
    data_dir: DataDir = None,
) -> None:
    """Cut a thing off: move it to the quarantine group, which denies it everything."""
    answer = call(data_dir, "quarantine_thing", thingName=thing, reason=reason)
    typer.echo(f"{thing} is isolated: it is now in thing group {answer['thingGroupName']}.")


@cli.command()
def release(
    thing: Annotated[str, typer.Argument(help="Name of the thing.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "by hand",
    data_dir: DataDir = None,
) -> None:
    """Set a thing free again: out of every group that denies it, its open violations closed."""
    answer = call(data_dir, "release_thing", thingName=thing, reason=reason)
    groups = ", ".join(answer["thingGroupNames"])
    typer.echo(f"{thing} is free: taken out of {groups}, and its open violations are closed.")


Profile = Annotated[
    Path, typer.Argument(help="JSON file with a profile, as CreateSecurityProfile takes it.", exists=True)
]


@cli.command()
def lint(profile: Profile, data_dir: DataDir = None) -> None:
    """Tell what a profile will do before it is attached; exit code 1 when there is a warning, 2 when it is none."""
    from fleetward.commands.hindsight import lint_exit_code, lint_lines

    answer = call(data_dir, "lint_security_profile", failing=2, profile=profile.read_text())
    typer.echo("\n".join(lint_lines(answer)))
    raise typer.Exit(lint_exit_code(answer))


@cli.command()
def backtest(
    profile: Profile,
    since: Annotated[str, typer.Option(help="How far back: 90m, 36h, 14d.")] = "14d",
    as_json: Annotated[bool, typer.Option("--json", help="The whole answer as JSON.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Tell who would have alarmed and been isolated; exit code 0 nobody, 1 somebody, 2 not (all) replayable."""
    from datetime import UTC, datetime

    from fleetward.commands import hindsight

    try:
        start = hindsight.since(since, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None
    answer = call(data_dir, "backtest_security_profile", failing=2, profile=profile.read_text(), startTime=start)
    typer.echo(json.dumps(answer, default=str) if as_json else "\n".join(hindsight.backtest_lines(answer)))
    raise typer.Exit(answer["exitCode"])


@cli.command()
def trail(
    name: Annotated[str | None, typer.Argument(help="Only what concerns the thing, policy… of this name.")] = None,
    last: Annotated[int, typer.Option(min=1, max=250, help="How many changes, newest last.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, before and after included.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show who changed what, from where, and when."""
    wanted: dict[str, Any] = {"name": name} if name else {}
    changes = call(data_dir, "list_trail", maxResults=last, **wanted)["changes"]
    for change in reversed(changes):
        typer.echo(json.dumps(change, default=str) if as_json else _told(change))
    if not changes:
        typer.echo("Nothing was changed." if name is None else f"Nothing about {name} was changed.", err=as_json)


def _told(change: dict[str, Any]) -> str:
    verb = "changed" if "before" in change and "after" in change else "deleted" if "before" in change else "made"
    who = change["principal"].rsplit(":", 1)[-1]
    reason = f" ({change['reason']})" if change["reason"] else ""
    return (
        f"{change['time']:%Y-%m-%d %H:%M:%S}  {verb:8} {change['kind']} {change['name']}  "
        f"by {who} from {change['address'] or 'inside'}, {change['operation'] or 'by itself'}{reason}"
    )


def main() -> None:
    """The entry point of the `fleetward` command."""
    try:
        cli()
    except KeyboardInterrupt:
        sys.exit(130)

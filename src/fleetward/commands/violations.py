"""fleetward violations: which there are, and everything that is known of one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fleetward.commands.connection import DataDir, call, every


class ListedByDefault(TyperGroup):
    """`fleetward violations …` is `fleetward violations list …` unless another command is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, "--help"}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


violations = typer.Typer(cls=ListedByDefault, rich_markup_mode=None)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, the explanation included.")]


@violations.callback()
def _violations() -> None:
    """Show violations and why each was raised: the open ones, those that `list` is asked for, or all of one."""


@violations.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(metavar="[THING]", help="Only those of this thing.")] = None,
    thing: Annotated[str | None, typer.Option("--thing", help="The same.")] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="Only those of this security profile.")] = None,
    ended: Annotated[bool, typer.Option("--ended", help="Those that have ended instead.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Open and ended ones.")] = False,
    since: Annotated[str | None, typer.Option(help="Only those raised since: 90m, 36h, 14d.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show violations, the newest first, and why each was raised; by default the open ones."""
    wanted = {"thingName": name or thing, "securityProfileName": profile, "startTime": _start(since)}
    wanted["status"] = "ALL" if all_ else "ENDED" if ended else "OPEN"
    given = {member: value for member, value in wanted.items() if value is not None}
    nothing = True
    for one in every(data_dir, "list_violations", "violations", **given):
        nothing = False
        typer.echo(_json_line(one) if as_json else "\n".join(_lines(one)))
    if nothing:
        typer.echo(_nothing(given), err=as_json)


@violations.command("show")
def show(
    violation: Annotated[str, typer.Argument(metavar="ID", help="The violation's id, or enough of its beginning.")],
    as_json: Annotated[bool, typer.Option("--json", help="All of it as one JSON object.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Tell everything about one violation, open or ended: why, whom it was told, what followed, how it ended."""
    from fleetward.commands.violation_report import document, report

    answer = call(data_dir, "describe_violation", violationId=violation)
    typer.echo(json.dumps(document(answer), default=str) if as_json else "\n".join(report(answer)))


def _start(since: str | None) -> datetime | None:
    from fleetward.commands.hindsight import since as moment

    try:
        return None if since is None else moment(since, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None


def _json_line(one: dict[str, Any]) -> str:
    explanation = json.loads(one.pop("explanationDocument"))
    return json.dumps(one | {"explanation": explanation}, default=str)


def _lines(one: dict[str, Any]) -> list[str]:
    from fleetward.commands.violation_report import standing

    lines = [
        f"{one['startTime']:%Y-%m-%d %H:%M:%S}  {one['thingName']} ({standing(one)})  {one['violationId']}",
        f"    {one['securityProfileName']}/{one['behaviorName']}: {one['explanation']}",
    ]
    return lines + ([f"    {one['endReason']}"] if one.get("endReason") else [])


def _nothing(given: dict[str, Any]) -> str:
    narrowed = " that was asked for" if given.keys() - {"status"} else ""
    return f"No violation{narrowed} {'is open' if given['status'] == 'OPEN' else 'is on record'}."

"""From a call to what it requires: the actions and resources that its entry in ACTIONS stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fleetward.access import entities, users
from fleetward.access.actions import ACTIONS, NONE, PREFIXES, REGIONLESS
from fleetward.access.entities import ROLE, USER
from fleetward.access.keys import find_key
from fleetward.arn import Arns
from fleetward.arn import parse as parse_arn
from fleetward.functions import names
from fleetward.store.database import Database

Params: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Requirement:
    """An action that must be allowed on a resource; `keys` join the request's context for it."""

    action: str
    resource: str
    keys: Mapping[str, str] = field(default_factory=dict)


class Requirements:
    """Knows what each operation requires of its caller."""

    def __init__(self, database: Database, arns: Arns) -> None:
        self._database = database
        self._arns = arns
        self._compiled: dict[tuple[str, str], tuple[_Need, ...]] = {}

    def of(self, service: str, operation: str, params: Params, caller_arn: str) -> list[Requirement]:
        """What a call requires. An operation without an entry requires its own name on everything."""
        needs = self._compiled.get((service, operation))
        if needs is None:
            needs = tuple(self._compile(service, operation))
            self._compiled[service, operation] = needs
        found: list[Requirement] = []
        for need in needs:
            if need.when and not _values(params, need.when):
                continue
            keys = {key: value for key, template in need.keys for value in self._fill(template, params, caller_arn)}
            resources = [one for options in need.resources for one in self._first(options, params, caller_arn)]
            found.extend(Requirement(need.action, one, keys) for one in resources or ("*",))
        return found

    # --- compiling ----------------------------------------------------------------------------------------------------

    def _compile(self, service: str, operation: str) -> Iterator[_Need]:
        entry = ACTIONS.get(service, {}).get(operation, NONE)
        prefix = PREFIXES.get(service, service)
        region = "" if service in REGIONLESS else self._arns.region
        arn = f"arn:aws:{prefix.lower()}:{region}:{self._arns.account}:"
        for one in (entry, *entry.also):
            if one.resources:
                yield _Need(
                    one.action or f"{prefix}:{operation}",
                    tuple(self._options(template, arn) for template in one.resources),
                    tuple((key, _parts(template)) for key, template in one.keys.items()),
                    tuple(one.when.split(".")) if one.when else (),
                )

    def _options(self, template: str, arn: str) -> tuple[_Template, ...]:
        return tuple(
            _parts(option if option.startswith(("{", "*", "arn:")) else arn + option) for option in template.split("|")
        )

    # --- filling in ---------------------------------------------------------------------------------------------------

    def _first(self, options: Sequence[_Template], params: Params, caller_arn: str) -> list[str]:
        """What the first of the templates whose members are there says."""
        return next((filled for option in options if (filled := self._fill(option, params, caller_arn))), [])

    def _fill(self, template: _Template, params: Params, caller_arn: str) -> list[str]:
        """The texts of a template; none when a member is missing."""
        texts = [""]
        for part in template:
            values = (part,) if isinstance(part, str) else self._read(part, params, caller_arn)
            texts = [text + value for text in texts for value in values]
        if len(template) == 1 and not isinstance(template[0], str) and not template[0].reader:
            return [self._own(text) for text in texts]
        return texts

    def _read(self, member: _Member, params: Params, caller_arn: str) -> Iterable[str]:
        fixed = {"REGION": self._arns.region, "ACCOUNT": self._arns.account, "CALLER": caller_arn}
        values = [fixed[member.path[0]]] if member.path[0] in fixed else _values(params, member.path)
        if not member.reader:
            return values
        return [READERS[member.reader](self._database, self._arns, value) for value in values]

    def _own(self, text: str) -> str:
        """An ARN as one of ours: operations go by the resource in it, whatever region and account it names."""
        arn = parse_arn(text)
        if arn is None or arn.service in REGIONLESS:
            return text
        return self._arns.make(arn.service, arn.resource)


@dataclass(frozen=True, slots=True)
class _Member:
    path: tuple[str, ...]
    reader: str


_Template: TypeAlias = "tuple[str | _Member, ...]"


@dataclass(frozen=True, slots=True)
class _Need:
    action: str
    resources: tuple[tuple[_Template, ...], ...]
    keys: tuple[tuple[str, _Template], ...]
    when: tuple[str, ...]


_MEMBER = re.compile(r"\{(?P<path>[\w.*]+)(?::(?P<reader>\w+))?\}|[^{]+")


def _parts(template: str) -> _Template:
    return tuple(
        _Member(tuple(found["path"].split(".")), found["reader"] or "") if found["path"] else found[0]
        for found in _MEMBER.finditer(template)
    )


def _values(params: Any, path: Sequence[str]) -> list[str]:
    """The texts at a path in the parameters; `*` goes through all items of a list or values of a map."""
    found = [params]
    for step in path:
        if step == "*":
            found = [one for some in found for one in (some.values() if isinstance(some, dict) else some)]
        else:
            found = [one[step] for one in found if isinstance(one, dict) and one.get(step)]
    return [str(one) for one in found]


# --- readers ----------------------------------------------------------------------------------------------------------


def _function(_: Database, arns: Arns, text: str) -> str:
    return arns.function(names.resolve(arns, text))


def _log_group(_: Database, arns: Arns, text: str) -> str:
    """The streams of a group that is given by its name or ARN."""
    arn = parse_arn(text)
    name = arn.name.removesuffix(":*") if arn is not None else text
    return f"{arns.log_group(name)}:log-stream:"


def _user(database: Database, arns: Arns, name: str) -> str:
    return _entity(database, arns, USER, name)


def _role(database: Database, arns: Arns, name: str) -> str:
    return _entity(database, arns, ROLE, name)


def _entity(database: Database, arns: Arns, kind: entities.Kind, name: str) -> str:
    """The ARN of a user or role, path included."""
    with database.read() as look:
        row = entities.find(look, kind, name)
    return kind.arn(arns, row) if row is not None else f"arn:aws:iam::{arns.account}:{kind.word}/{name}"


def _key_owner(database: Database, arns: Arns, key_id: str) -> str:
    with database.read() as look:
        key = find_key(look, key_id)
        name = users.owner_of(look, key) if key is not None else None
    return "*" if name is None else _user(database, arns, name)


READERS: Mapping[str, Callable[[Database, Arns, str], str]] = {
    "function": _function,
    "log_group": _log_group,
    "user": _user,
    "role": _role,
    "key_owner": _key_owner,
}
"""How a member that is no ARN becomes one."""

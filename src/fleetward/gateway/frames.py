"""FRAMES: what crosses the socket between the house and a gateway process, each a length and a pickled message.

Nothing but these messages and what they are made of is ever unpickled: a gateway that was taken over cannot have the
house run its code.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import numpy as np

from fleetward.arn import Arns
from fleetward.gateway import doors
from fleetward.gateway.doors import Command, Reply
from fleetward.meter import batch
from fleetward.model import Demand
from fleetward.records import (
    AuthorityRecord,
    CertificateRecord,
    Change,
    GroupRecord,
    PolicyRecord,
    Record,
    RecordKind,
    ThingRecord,
)

LENGTH = struct.Struct("<I")

CHANGES_AT_ONCE = 2_000
"""In one frame."""


# --- to the gateway ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """The first message: what the gateway is started with. `settings` are those it knows; paths are texts."""

    settings: Mapping[str, Any]
    arns: Arns
    tls: tuple[str, str, str]
    durable_file: str | None
    demand: Demand


@dataclass(frozen=True, slots=True)
class Fleet:
    """Some of the fleet as it was at the start; an empty one ends it."""

    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Steps:
    """Some changes of the fleet; counted by the `StepCounter`."""

    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class Ask:
    """A command; an `Answer` of that number replies."""

    number: int
    command: Command


@dataclass(frozen=True, slots=True)
class Stop:
    """Say goodbye to the clients and end."""


# --- to the house -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The gateway serves."""

    port: int


@dataclass(frozen=True, slots=True)
class Failure:
    """The name of an error and what it says; by itself, why the gateway does not start."""

    error: str
    text: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        return cls(type(error).__name__, str(error))


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to a command, or else why there is none."""

    number: int
    reply: Reply = None
    failure: Failure | None = None


# --- both -------------------------------------------------------------------------------------------------------------

MESSAGES: tuple[type, ...] = (
    *(Begin, Fleet, Steps, Ask, Stop, Ready, Failure, Answer),
    *(doors.Arrival, doors.Presence, doors.Refused, batch.Batch, batch.Cells, batch.TopicCells),
    *(
        doors.Drop,
        doors.Publish,
        doors.GetRetained,
        doors.ListRetained,
        doors.Retained,
        doors.CountSessions,
        *(doors.LoadCertificate, doors.Watch, doors.ReadWatch, doors.Unwatch, doors.Seen, doors.Sighting, doors.Denial),
    ),
    *(Change, ThingRecord, GroupRecord, CertificateRecord, AuthorityRecord, PolicyRecord, Demand, Arns),
)
_KNOWN: dict[tuple[str, str], Any] = {
    **{(known.__module__, known.__qualname__): known for known in (*MESSAGES, RecordKind)},
    (np.frombuffer.__module__, "frombuffer"): np.frombuffer,
}


def _reducer(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """A dataclass as the call that makes it: five times as fast as by its own `__getstate__`."""
    names = [field.name for field in fields(kind)]
    if len(names) < 2:
        return lambda message: (kind, tuple(getattr(message, name) for name in names))
    values = attrgetter(*names)
    return lambda message: (kind, values(message))


def _array(array: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    return np.frombuffer, (array.tobytes(), array.dtype.str)


_REDUCERS = {**copyreg.dispatch_table, **{kind: _reducer(kind) for kind in MESSAGES}, np.ndarray: _array}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module, name))
        if known is None:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a message")
        return known


def frame(message: object) -> bytes:
    """The message as it goes over the socket."""
    packed = io.BytesIO()
    pickler = pickle.Pickler(packed, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCERS
    pickler.dump(message)
    return LENGTH.pack(packed.tell()) + packed.getbuffer()


def unpack(body: bytes) -> Any:
    """The message in a frame, its length taken off; raises pickle.UnpicklingError when it is none of ours."""
    return _Unpickler(io.BytesIO(body)).load()


class Frames:
    """Bytes in, messages out."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that `data` completes."""
        self._received += data
        while (end := self._end()) <= len(self._received):
            body = bytes(self._received[LENGTH.size : end])
            del self._received[:end]
            yield unpack(body)

    def _end(self) -> int:
        if len(self._received) < LENGTH.size:
            return LENGTH.size
        return LENGTH.size + int(LENGTH.unpack_from(self._received)[0])


def parts(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """The changes by as many as go into one frame."""
    part: list[Change] = []
    for change in changes:
        part.append(change)
        if len(part) == CHANGES_AT_ONCE:
            yield part
            part = []
    if part:
        yield part

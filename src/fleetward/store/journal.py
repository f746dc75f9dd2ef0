"""The journal keeps the open windows through a crash: a snapshot of the kernel, and a log of its inputs since then.

The kernel is a function of its inputs, so snapshot plus log give the same kernel and the same outcomes again. An input
is in the log before the kernel sees it: a killed process loses none, a power cut those of the last second.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import structlog

from fleetward.detect.inputs import Configure, Enroll, EnrollMany, Input, Release, Report, Withdraw
from fleetward.detect.kernel import Kernel, Outcome
from fleetward.meter.batch import Batch

log = structlog.get_logger()

VERSION = 3
"""Of the snapshot's layout: raise it whenever a class of the kernel's state changes its members."""

MAX_RECORD = 1 << 28
SYNC_SECONDS = 1.0

_MAGIC = b"FLEETWARD-KERNEL"
_SNAPSHOT = struct.Struct("<16sIQ32s")  # magic, version, number of the last input in it, SHA-256 of the pickle
_RECORD = struct.Struct("<QII")  # number of the input, length and CRC-32 of the pickle
_INPUTS: tuple[type[Any], ...] = (Batch, Configure, Enroll, EnrollMany, Withdraw, Release, Report)

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter

_MODULES = ("fleetward.detect.", "fleetward.meter.batch", "fleetward.meter.metrics", "fleetward.model")
_NAMES = {
    "numpy": {"dtype", "ndarray"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.numeric": {"_frombuffer"},
}

Made = TypeVar("Made")


class Journal:
    """The two files in one folder. Belongs to one thread."""

    def __init__(self, folder: Path) -> None:
        self._snapshot = folder / "kernel.snapshot"
        self._log = os.open(folder / "inputs.log", os.O_RDWR | os.O_CREAT, 0o600)
        self._number = 0
        self._length = 0
        self._synced = time.monotonic()

    @classmethod
    def open(cls, folder: Path) -> Journal:
        """Opens the journal in a folder, made (0700) when it is missing. `recover` must come before `append`."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(folder)

    def recover(self, make_kernel: Callable[[], Kernel]) -> tuple[Kernel, list[Outcome]]:
        """The kernel as it was at the last input, and the outcomes of all inputs since the snapshot, again.

        A snapshot that cannot be read is set aside, and what the log still holds is fed to a new kernel.
        """
        fresh = make_kernel()
        kernel = self._load() or fresh
        kernel.strict_grid, kernel.network_memory = fresh.strict_grid, fresh.network_memory
        outcomes = []
        for payload in self._replay():
            try:
                outcomes.append(kernel.feed(_loads(payload, _INPUTS)))
            except Exception:
                # What could not be taken before the crash must not keep the watch from starting after it.
                log.exception("journal_input_failed", number=self._number)
        return kernel, outcomes

    def append(self, item: Input) -> None:
        """Writes an input to the log; on return it is with the operating system."""
        payload = pickle.dumps(item, protocol=5)
        record = _RECORD.pack(self._number + 1, len(payload), zlib.crc32(payload)) + payload
        try:
            _write(self._log, record)
        except OSError:
            # Half a record would hide every later one.
            self._cut(self._length)
            raise
        self._number += 1
        self._length += len(record)
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            _sync(self._log)
            self._synced = time.monotonic()

    def snapshot(self, kernel: Kernel) -> None:
        """Stores the kernel, which must have been fed all appended inputs; the log is emptied once that is durable."""
        payload = pickle.dumps(kernel, protocol=5)
        header = _SNAPSHOT.pack(_MAGIC, VERSION, self._number, hashlib.sha256(payload).digest())
        fresh = self._snapshot.with_suffix(".new")
        target = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write(target, header)
            _write(target, payload)
            os.fsync(target)
        finally:
            os.close(target)
        os.replace(fresh, self._snapshot)
        _sync_folder(self._snapshot.parent)
        self._cut(0)

    def close(self) -> None:
        _sync(self._log)
        os.close(self._log)

    # --- reading back -------------------------------------------------------------------------------------------------

    def _load(self) -> Kernel | None:
        try:
            content = self._snapshot.read_bytes()
        except FileNotFoundError:
            return None
        try:
            magic, version, number, digest = _SNAPSHOT.unpack_from(content)
            payload = memoryview(content)[_SNAPSHOT.size :]
            if magic != _MAGIC or version != VERSION:
                raise ValueError("written by another version")
            if hashlib.sha256(payload).digest() != digest:
                raise ValueError("damaged")
            kernel = _loads(payload, Kernel)
        except Exception as error:
            self._set_aside(error)
            return None
        self._number = number
        return kernel

    def _set_aside(self, error: Exception) -> None:
        aside = self._snapshot.with_suffix(".rejected")
        os.replace(self._snapshot, aside)
        log.error("journal_snapshot_rejected", reason=str(error), kept_as=str(aside))

    def _replay(self) -> Iterator[bytes]:
        """The inputs in the log that the snapshot does not contain; then cuts off what is torn at the end."""
        included = self._number
        with open(self._log, "rb", closefd=False) as reader:
            reader.seek(0)
            while (read := _read_record(reader)) is not None:
                number, payload = read
                self._length = reader.tell()
                self._number = max(number, self._number)
                if number > included:
                    yield payload
        torn = os.fstat(self._log).st_size - self._length
        if torn:
            log.warning("journal_tail_dropped", bytes=torn)
        self._cut(self._length)

    def _cut(self, length: int) -> None:
        os.ftruncate(self._log, length)
        os.lseek(self._log, length, os.SEEK_SET)
        self._length = length


class _Unpickler(pickle.Unpickler):
    """Makes nothing but the kernel's own classes, arrays and plain values."""

    def find_class(self, module: str, name: str) -> Any:
        own = module.startswith(_MODULES) and "." not in name
        if own or name in _NAMES.get(module, ()):
            found = super().find_class(module, name)
            if not own or (isinstance(found, type) and found.__module__ == module):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} does not belong here")


def _loads(payload: bytes | memoryview, kind: type[Made] | tuple[type[Made], ...]) -> Made:
    made: Any = _Unpickler(io.BytesIO(payload)).load()
    if not isinstance(made, kind):
        raise pickle.UnpicklingError(f"{type(made).__name__} does not belong here")
    return made


def _read_record(reader: io.BufferedReader) -> tuple[int, bytes] | None:
    """The next record, or None where the log ends or is torn."""
    header = reader.read(_RECORD.size)
    if len(header) < _RECORD.size:
        return None
    number, length, checksum = _RECORD.unpack(header)
    payload = reader.read(length) if length <= MAX_RECORD else b""
    if len(payload) < length or zlib.crc32(payload) != checksum:
        return None
    return number, payload


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)

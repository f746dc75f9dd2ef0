"""A function's code: the zip archive, checked at the door and unpacked without trusting a single name in it."""

from __future__ import annotations

import base64
import hashlib
import io
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from fleetward.errors import InvalidParameterValue, RequestTooLarge

MAX_ARCHIVE = 50 * 1024 * 1024
"""Bytes of a zip sent directly (AWS: 50 MB)."""
MAX_UNPACKED = 250 * 1024 * 1024
"""Bytes of its files together (AWS: 250 MB)."""
MAX_FILES = 20_000

_CHUNK = 1 << 20
_NOT_A_ZIP = "Could not unzip uploaded file. Please check your file, then try to upload again."


def sha256(archive: bytes) -> str:
    """CodeSha256 as AWS shows it: base64 of the digest of the archive."""
    return base64.b64encode(hashlib.sha256(archive).digest()).decode()


def check(archive: bytes) -> None:
    """Reads the whole archive once; raises InvalidParameterValue or RequestTooLarge when it cannot be a function's.

    Takes as long as unpacking does: call it in a thread.
    """
    if len(archive) > MAX_ARCHIVE:
        raise RequestTooLarge(f"Request must be smaller than {MAX_ARCHIVE} bytes for the zip archive")
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
            for entry in _entries(bundle):
                with bundle.open(entry) as content:
                    while content.read(_CHUNK):
                        pass
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as problem:
        raise InvalidParameterValue(_NOT_A_ZIP) from problem


def unpack(archive: bytes, folder: Path) -> None:
    """Writes the archive's files below `folder`, readable by everybody and writable by nobody but the owner."""
    with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
        for entry in _entries(bundle):
            path = folder.joinpath(*PurePosixPath(entry.filename).parts)
            if entry.is_dir():
                path.mkdir(parents=True, exist_ok=True)
            else:
                _write(bundle, entry, path)
    # The server's umask may be tighter than what the function's user needs.
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        path.chmod(0o755)


def _write(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with bundle.open(entry) as content, path.open("wb") as file:
        while chunk := content.read(_CHUNK):
            file.write(chunk)
    path.chmod(0o755 if entry.external_attr >> 16 & stat.S_IXUSR else 0o644)


def _entries(bundle: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The entries, once their names, kinds and sizes are known to be harmless.

    The sizes are the archive's own claims; that is enough, because `zipfile` never reads past what an entry claims.
    """
    entries = bundle.infolist()
    if not entries:
        raise InvalidParameterValue("Uploaded file must be a non-empty zip")
    if len(entries) > MAX_FILES:
        raise InvalidParameterValue(f"The archive holds more than {MAX_FILES} files")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise InvalidParameterValue(f"Unzipped size must be smaller than {MAX_UNPACKED} bytes")
    for entry in entries:
        _check_entry(entry)
    return entries


def _check_entry(entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or not path.parts:
        raise InvalidParameterValue(f"The archive holds a file outside its root: {entry.filename!r}")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InvalidParameterValue(f"The archive holds something else than files and folders: {entry.filename!r}")
    if entry.flag_bits & 0x1:
        raise InvalidParameterValue(f"The archive holds an encrypted file: {entry.filename!r}")

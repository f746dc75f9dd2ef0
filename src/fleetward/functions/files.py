"""The files in a function's archive: what there is, one file's text, and an archive with one file changed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from fleetward.errors import InvalidParameterValue, ResourceNotFound

MAX_TEXT = 256 * 1024
"""Bytes of a file that is edited as text."""
PRIVATE_KEY = b"PRIVATE KEY-----"
"""Packages of devices carry keys; whoever may read a source need not get them."""


@dataclass(frozen=True, slots=True)
class File:
    """`size` in bytes, unpacked."""

    path: str
    size: int


def listed(archive: bytes) -> Sequence[File]:
    """By path; folders are not listed."""
    with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
        return sorted(
            (File(entry.filename, entry.file_size) for entry in bundle.infolist() if not entry.is_dir()),
            key=lambda file: file.path,
        )


def text(archive: bytes, path: str) -> str:
    """The file's text, its line ends as they are. Raises ResourceNotFound, or InvalidParameterValue for what
    is none and for keys."""
    with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
        try:
            entry = bundle.getinfo(path)
        except KeyError:
            raise ResourceNotFound(f"The function's code has no file {path}") from None
        if entry.file_size > MAX_TEXT:
            raise InvalidParameterValue(f"{path} has {entry.file_size} bytes; only {MAX_TEXT} can be shown as text.")
        content = bundle.read(entry)
    if PRIVATE_KEY in content:
        raise InvalidParameterValue(f"{path} holds a private key and is not shown.")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidParameterValue(f"{path} is no text in UTF-8.") from None


def replaced(archive: bytes, path: str, content: str) -> bytes:
    """The archive with that file's text, new or changed, and all other files as they are."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        kept = next((entry for entry in old.infolist() if entry.filename == path), None)
        for entry in old.infolist():
            if entry.filename != path:
                new.writestr(entry, old.read(entry))
        target = kept or zipfile.ZipInfo(path)
        target.compress_type = zipfile.ZIP_DEFLATED
        new.writestr(target, content.encode(errors="replace"))
    return made.getvalue()

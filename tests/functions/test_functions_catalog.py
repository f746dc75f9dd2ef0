"""Functions in the store, their names, their code and who may call them."""

import io
import stat
import zipfile
from pathlib import Path

import pytest
from function_house import ARNS, ROLE, now, open_database, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.errors import (
    InvalidParameterValue,
    PreconditionFailed,
    Refusal,
    RequestTooLarge,
    ResourceConflict,
    ResourceNotFound,
)
from fleetward.functions import catalog, code, names, permissions
from fleetward.store.database import Database
from fleetward.store.tables.functions import function_code

CODE = zipped(m="def handler(e, c): pass")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(tmp_path)


def make(database: Database, name: str = "f", **options):
    with database.transaction(now()) as tx:
        return catalog.create(
            tx, name, CODE, **({"runtime": "python3.9", "handler": "m.handler", "role": ROLE} | options)
        )


# --- names ---


@pytest.mark.parametrize(
    "text",
    [
        "f",
        "f:$LATEST",
        "function:f",
        "123456789012:function:f",
        "arn:aws:lambda:us-east-1:123456789012:function:f",
        "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST",
    ],
)
def test_all_ways_to_name_a_function(text: str) -> None:
    """A function goes by its name, its partial ARN and its ARN, each with the qualifier $LATEST."""
    assert names.resolve(ARNS, text) == "f"


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("f:1", ResourceNotFound),
        ("arn:aws:lambda:eu-west-1:123456789012:function:f", ResourceNotFound),
        ("210987654321:function:f", ResourceNotFound),
        ("../f", InvalidParameterValue),
        ("", InvalidParameterValue),
        ("f" * 65, InvalidParameterValue),
        ("arn:aws:sns:us-east-1:123456789012:f", InvalidParameterValue),
    ],
)
def test_names_of_nothing_here(text: str, refusal: type[Refusal]) -> None:
    """Another account, region or version is not found; what is no name is invalid."""
    with pytest.raises(refusal):
        names.resolve(ARNS, text)


# --- code ---


def archive_of(*entries: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in entries:
            archive.writestr(entry, data)
    return buffer.getvalue()


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def broken() -> bytes:
    whole = bytearray(archive_of(("m.py", b"x" * 10_000)))
    whole[40] ^= 0xFF
    return bytes(whole)


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"PK not a zip",
        archive_of(),
        archive_of(("../m.py", b"")),
        archive_of(("/m.py", b"")),
        archive_of(("a/../../m.py", b"")),
        archive_of(("a\\..\\m.py", b"")),
        archive_of((link(), b"/etc/passwd")),
        broken(),
    ],
    ids=["empty", "no zip", "no files", "parent", "absolute", "inner parent", "backslash", "link", "damaged"],
)
def test_bad_archives(archive: bytes) -> None:
    """An archive that is none, that reaches out of its folder, holds links or is damaged is refused."""
    with pytest.raises(InvalidParameterValue):
        code.check(archive)


def test_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive whose files together are too large is refused by what it claims, before anything is unpacked."""
    monkeypatch.setattr(code, "MAX_UNPACKED", 10_000)
    code.check(archive_of(("zeros", bytes(5000)), ("more", bytes(5000))))
    with pytest.raises(InvalidParameterValue):
        code.check(archive_of(("zeros", bytes(5000)), ("more", bytes(5001))))


def test_archive_over_the_limit() -> None:
    """An archive of more than 50 MB is refused unread."""
    with pytest.raises(RequestTooLarge):
        code.check(bytes(code.MAX_ARCHIVE + 1))


PATHS = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.lists(st.sampled_from(["..", ".", "", "a", "b", "code"]), min_size=1, max_size=5).map("/".join).filter(bool),
)


@settings(max_examples=200)
@given(st.lists(PATHS, min_size=1, max_size=4, unique=True))
def test_unpacking_stays_in_its_folder(tmp_path_factory: pytest.TempPathFactory, paths: list[str]) -> None:
    """Whatever the names in an archive are: it is refused, or nothing is written outside the folder."""
    try:
        archive = archive_of(*((path, b"x") for path in paths))
        code.check(archive)
    except (Refusal, ValueError, IndexError):
        return
    outer = tmp_path_factory.mktemp("outer")
    (outer / "code").mkdir()
    try:
        code.unpack(archive, outer / "code")
    except OSError:  # A name no file can have.
        pass
    assert [path.name for path in outer.iterdir()] == ["code"]


def test_unpacked_files_are_readable_by_all(tmp_path: Path) -> None:
    """Files can be read, and programs run, by the functions' user, and changed by nobody but the owner."""
    program = zipfile.ZipInfo("bin/tool")
    program.external_attr = (stat.S_IFREG | 0o777) << 16
    code.unpack(archive_of(("m.py", b""), (program, b"")), tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"m.py": 0o644, "bin": 0o755, "tool": 0o755}


# --- the store ---


def test_create_and_get(database: Database) -> None:
    """A function is kept as it was made, with AWS's defaults."""
    made = make(database)
    with database.read() as look:
        assert catalog.get(look, "f") == made
        assert catalog.archive(look, made) == CODE
    assert (made.timeout, made.memory_size, made.code_size, made.code_sha256) == (3, 128, len(CODE), code.sha256(CODE))


def test_create_twice(database: Database) -> None:
    """A name is taken once."""
    make(database)
    with pytest.raises(ResourceConflict):
        make(database)


@pytest.mark.parametrize(
    "options",
    [
        {"runtime": "nodejs20.x"},
        {"runtime": "python2.7"},
        {"timeout": 0},
        {"timeout": 901},
        {"memory_size": 127},
        {"memory_size": 10241},
        {"environment": {"AWS_REGION": "x"}},
        {"environment": {"BIG": "x" * 4096}},
        {"environment": {"A=B": "x"}},
        {"environment": {"AB": "nul\0"}},
    ],
)
def test_impossible_configuration(database: Database, options: dict) -> None:
    """Other runtimes, limits out of range and variables that are reserved, too large or impossible are refused."""
    with pytest.raises(InvalidParameterValue):
        make(database, **options)
    make(database)
    with pytest.raises(InvalidParameterValue), database.transaction(now()) as tx:
        catalog.update_configuration(tx, "f", **options)


def test_update(database: Database) -> None:
    """An update changes what is given and nothing else, and makes a new revision."""
    before = make(database, environment={"A1": "1"}, timeout=7)
    with database.transaction(now()) as tx:
        after = catalog.update_configuration(tx, "f", timeout=9, environment=None)
    assert (after.timeout, after.environment, after.handler) == (9, {"A1": "1"}, "m.handler")
    assert after.revision_id != before.revision_id
    with pytest.raises(PreconditionFailed), database.transaction(now()) as tx:
        catalog.update_code(tx, "f", CODE, before.revision_id)


def test_code_is_kept_once_and_not_for_ever(database: Database) -> None:
    """Code is stored by its digest: shared by functions, and gone with the last that uses it."""
    make(database, "f")
    make(database, "g")

    def stored() -> int:
        with database.read() as look:
            return len(look.all(function_code.select()))

    assert stored() == 1
    with database.transaction(now()) as tx:
        catalog.update_code(tx, "f", zipped(m="other = 1"))
    assert stored() == 2
    for name in ("f", "g"):
        with database.transaction(now()) as tx:
            catalog.delete(tx, name)
    assert stored() == 0


# --- permissions ---

TOPIC = ARNS.topic("BadIoTDevices")


@pytest.mark.parametrize(
    ("statement", "may"),
    [
        ({"action": "lambda:InvokeFunction", "principal": "sns.amazonaws.com", "source_arn": TOPIC}, True),
        ({"action": "lambda:*", "principal": "sns.amazonaws.com"}, True),
        ({"action": "lambda:InvokeFunction", "principal": "*"}, True),
        ({"action": "lambda:InvokeFunction", "principal": "sns.amazonaws.com", "source_account": ARNS.account}, True),
        ({"action": "lambda:InvokeFunction", "principal": "sns.amazonaws.com", "source_arn": TOPIC[:-1] + "*"}, True),
        ({"action": "lambda:InvokeFunction", "principal": "events.amazonaws.com", "source_arn": TOPIC}, False),
        ({"action": "lambda:GetFunction", "principal": "sns.amazonaws.com", "source_arn": TOPIC}, False),
        ({"action": "lambda:InvokeFunction", "principal": "sns.amazonaws.com", "source_arn": TOPIC + "2"}, False),
        ({"action": "lambda:InvokeFunction", "principal": "sns.amazonaws.com", "source_arn": "arn:*"}, False),
        ({"action": "lambda:InvokeFunction", "principal": "sns.amazonaws.com", "source_account": "1" * 12}, False),
        ({"action": "lambda:InvokeFunction", "principal": ARNS.account}, False),
    ],
)
def test_who_may_invoke(database: Database, statement: dict, may: bool) -> None:
    """A service may call a function only for a source that a statement names, by ARN or account."""
    make(database)
    with database.transaction(now()) as tx:
        assert not permissions.may_invoke(tx, "f", "sns.amazonaws.com", TOPIC, ARNS.account)
        permissions.add(tx, ARNS, "f", "s1", **statement)
        assert permissions.may_invoke(tx, "f", "sns.amazonaws.com", TOPIC, ARNS.account) is may


def test_statements_have_names(database: Database) -> None:
    """A statement's id is taken once, and removing it takes the permission away; deleting the function takes all."""
    make(database)
    allow = {"action": "lambda:InvokeFunction", "principal": "sns.amazonaws.com"}
    with database.transaction(now()) as tx:
        permissions.add(tx, ARNS, "f", "s1", **allow)
        with pytest.raises(ResourceConflict):
            permissions.add(tx, ARNS, "f", "s1", **allow)
        permissions.remove(tx, "f", "s1")
        with pytest.raises(ResourceNotFound):
            permissions.remove(tx, "f", "s1")
        permissions.add(tx, ARNS, "f", "s1", **allow)
        catalog.delete(tx, "f")
        assert permissions.statements(tx, "f") == []

"""A function's source file by file, and what is likely wrong with it."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetward.errors import InvalidParameterValue, ResourceNotFound
from fleetward.functions import code, files, lint
from fleetward.simulate.provision import isolate_source, zip_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
PACKAGES = st.dictionaries(st.sampled_from(["main.py", "lib/util.py", "data.json", "Ünicode.py"]), TEXT, min_size=1)


@given(PACKAGES, st.sampled_from(["main.py", "lib/new.py"]), TEXT)
def test_one_file_changes_and_the_others_stay(package: dict[str, str], path: str, text: str) -> None:
    """The archive with a file replaced is a valid one, in which that file has its new text to the letter."""
    made = files.replaced(zip_of(package), path, text)
    code.check(made)
    assert {file.path: files.text(made, file.path) for file in files.listed(made)} == {**package, path: text}


def test_the_mode_of_a_file_stays() -> None:
    """A file that may be executed still may be after it was edited."""
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o100755 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr(entry, "old")
    made = files.replaced(buffer.getvalue(), "bootstrap", "new")
    with zipfile.ZipFile(io.BytesIO(made)) as bundle:
        assert bundle.getinfo("bootstrap").external_attr >> 16 == 0o100755


def test_what_is_no_text_is_not_shown() -> None:
    """Unknown files, binary ones, huge ones and private keys are refused, each in words of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("image", b"\xff\xfe\x00")
        bundle.writestr("huge", b"x" * (files.MAX_TEXT + 1))
        bundle.writestr("key.pem", "-----BEGIN RSA PRIVATE KEY-----\n")
    archive = buffer.getvalue()
    with pytest.raises(ResourceNotFound):
        files.text(archive, "other")
    for path, reason in (("image", "no text"), ("huge", "can be shown"), ("key.pem", "private key")):
        with pytest.raises(InvalidParameterValue, match=reason):
            files.text(archive, path)


def test_a_missing_import_is_named_as_python_names_it() -> None:
    """The source without `import os` has the warning that Python itself gives when it runs."""
    found = lint.warnings_of(isolate_source().replace("import os\n", ""))
    assert "name 'os' is not defined" in [one.text for one in found]
    assert all("os" not in one.text for one in lint.warnings_of(isolate_source()))


def test_a_source_that_is_no_python_has_one_warning() -> None:
    """A mistake in the syntax is told with its line."""
    [found] = lint.warnings_of("a = 1\ndef f(:\n")
    assert (found.line, found.text.partition(":")[0]) == (2, "syntax error")
    [null] = lint.warnings_of("a = '\0'")
    assert null.line == 1


@given(st.text(max_size=80))
def test_any_text_can_be_looked_at(source: str) -> None:
    """Whatever somebody pastes, the lint answers."""
    assert isinstance(lint.warnings_of(source), list)


def test_deep_nesting_is_survived() -> None:
    """A source nested too deep for the parser is a warning, not the end of the server."""
    assert len(lint.warnings_of("(" * 50_000)) == 1
    assert isinstance(lint.warnings_of("-" * 100_000 + "1"), list)
    assert isinstance(lint.warnings_of("a" + ".a" * 100_000), list)

"""The certificates of a server that runs for years."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fleetward.registry.authority import Authority
from fleetward.registry.renewal import Files, Port, Renewal

DAY = 86_400_000
NOW = 1_795_500_000_000
NAMES = ("localhost", "127.0.0.1")


class Clock:
    now = NOW


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path / "ca", NOW)


@asynccontextmanager
async def echo(files: Files) -> AsyncIterator[tuple[int, Port]]:
    """A TLS server that sends back what it gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1], Port("mqtt", files, context.load_cert_chain)
    server.close()


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """A connection, and the certificate that the server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    return reader, writer, writer.get_extra_info("ssl_object").getpeercert(binary_form=True)


async def test_a_running_server_gets_a_new_certificate_in_time(authority: Authority) -> None:
    """With a third of its life left it is renewed: new connections see the new one, open ones go on undisturbed."""
    clock = Clock()
    files = authority.issue_server(NAMES, NOW)
    async with echo(files) as (number, port):
        renewal = Renewal(lambda: authority.issue_server(NAMES, clock.now), [port])
        reader, writer, first = await connect(number)
        clock.now = NOW + 548 * DAY
        assert await renewal.check() == []
        clock.now = NOW + 551 * DAY
        assert await renewal.check() == ["mqtt"]
        assert await renewal.check() == []
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        _, other, second = await connect(number)
        assert second != first
        assert second == ssl.PEM_cert_to_DER_cert(files[0].read_text())
        for one in (writer, other):
            one.close()


async def test_a_certificate_of_ones_own_is_read_again_when_it_changes(authority: Authority, tmp_path: Path) -> None:
    """What another tool writes into the files is served from the next check on; a broken file changes nothing."""
    files = tmp_path / "own.pem", tmp_path / "own.key"
    authority.issue_server(NAMES, NOW)

    def write(folder: str) -> None:
        made = Authority.open(tmp_path / folder, NOW).issue_server(NAMES, NOW)
        for path, source in zip(files, made, strict=True):
            path.write_bytes(source.read_bytes())

    write("one")
    async with echo(files) as (number, port):
        renewal = Renewal(lambda: files, [port])
        assert await renewal.check() == []
        write("two")
        assert await renewal.check() == ["mqtt"]
        _, writer, shown = await connect(number)
        writer.close()
        assert shown == ssl.PEM_cert_to_DER_cert(files[0].read_text())
        other = Authority.open(tmp_path / "three", NOW).issue_server(NAMES, NOW)[0]
        for broken in (b"garbage", other.read_bytes()):  # the second fits in everything but the key
            files[0].write_bytes(broken)
            with capture_logs() as logged:
                assert await renewal.check() == []
            assert [line["event"] for line in logged] == ["certificate_not_loaded"]
            _, writer, still = await connect(number)
            writer.close()
            assert still == shown
        files[0].unlink()
        assert await renewal.check() == []


async def test_what_goes_wrong_is_told_and_tried_again(authority: Authority) -> None:
    """An authority that cannot issue is logged, and the next check issues all the same."""
    answers = [OSError("disk full"), None]

    def issue() -> Files:
        problem = answers.pop(0)
        if problem is not None:
            raise problem
        return authority.issue_server(NAMES, NOW + 551 * DAY)

    loads: list[Files] = []
    files = authority.issue_server(NAMES, NOW)
    port = Port("https", files, lambda certificate, key: loads.append((certificate, key)))
    renewal = Renewal(issue, [port])
    with capture_logs() as logged:
        assert await renewal.check() == []
        assert await renewal.check() == ["https"]
    assert [line["event"] for line in logged] == ["certificate_not_renewed", "certificate_renewed"]
    assert loads == [files]


async def test_it_looks_by_itself(authority: Authority) -> None:
    """Between start and stop the check comes round by itself."""
    looked = asyncio.Event()
    files = authority.issue_server(NAMES, NOW)
    loop = asyncio.get_running_loop()

    def issue() -> Files:
        loop.call_soon_threadsafe(looked.set)
        return files

    renewal = Renewal(issue, [], every=0.001)
    await renewal.start()
    await asyncio.wait_for(looked.wait(), 5)
    await renewal.stop()
    await renewal.stop()

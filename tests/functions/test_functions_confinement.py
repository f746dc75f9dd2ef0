"""What a function cannot do: see the server's data, outlive it, steal another's events, fill the disk."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from function_house import House, is_running, until
from structlog.testing import capture_logs

from fleetward.functions import output, sandbox
from fleetward.functions.confined import landlock

needs_landlock = pytest.mark.skipif(not landlock.version(), reason="the kernel has no Landlock")


async def _try(house: House, expression: str) -> str:
    """The name of the exception that evaluating the expression in a function raises."""
    source = f"""
        import os, signal, subprocess
        def handler(e, c):
            try:
                {expression}
            except Exception as problem:
                return type(problem).__name__
    """
    house.make(source)
    return json.loads((await house.functions.invoke("f", b"{}")).payload)


@needs_landlock
@pytest.mark.parametrize(
    "attempt",
    [
        "open('{data}/house.db')",
        "os.listdir('{data}')",
        "open('{data}/new', 'w')",
        "open('/proc/{pid}/environ').read()",
        "open('/proc/{pid}/mem', 'rb')",
        "os.kill({pid}, signal.SIGCONT)",
        "open('{package}/planted.py', 'w')",
        "open('/etc/planted', 'w')",
        "os.setuid(1) if os.getuid() == 0 else os.setuid(0)",
    ],
)
async def test_out_of_reach(house: House, attempt: str) -> None:
    """A function cannot read the data folder or the server's memory, write outside temporary folders, or signal it."""
    package = Path(landlock.__file__).parent
    problem = await _try(house, attempt.format(data=house.data_dir, pid=os.getpid(), package=package))
    assert problem == ("FileNotFoundError" if is_covered(house, attempt) else "PermissionError")


def is_covered(house: House, attempt: str) -> bool:
    """Whether it is about the data folder and that is below what the function has folders of its own over."""
    sandbox = house.functions._sandbox
    return "{data}" in attempt and sandbox is not None and sandbox.view(Path()).covers(str(house.data_dir.resolve()))


@needs_landlock
@pytest.mark.parametrize("attempt", ["open('{data}/house.db')", "os.listdir('{data}')", "open('{data}/new', 'w')"])
async def test_data_out_of_reach_without_a_view(without_view: House, attempt: str) -> None:
    """The data folder is as much out of reach where functions see the same folders as the server."""
    assert await _try(without_view, attempt.format(data=without_view.data_dir)) == "PermissionError"


async def test_temporary_folder(house: House) -> None:
    """A function may write to its temporary folder."""
    house.make("import tempfile\ndef handler(e, c):\n with tempfile.TemporaryFile() as f: return f.write(b'x')")
    assert (await house.functions.invoke("f", b"{}")).payload == b"1"


async def test_isolation_is_said(house: House) -> None:
    """The room says who functions run as, for `doctor` to repeat."""
    assert house.functions.isolation().startswith("Functions run as the ")


async def test_a_lack_of_isolation_is_explained(tmp_path: Path) -> None:
    """Where functions cannot have a user of their own, the log says why, what that means, and what would help."""
    with capture_logs() as logged:
        chosen = await sandbox.choose("nobody-at-all", tmp_path)
    chosen.space.close()
    (told,) = [line for line in logged if line["event"] == "functions_not_isolated"]
    assert told["reason"]
    assert "as the server's own user" in told["effect"]
    assert "--function-user" in told["remedy"]


DAEMON = """
    import os, subprocess, sys
    def handler(e, c):
        code = 'import os, time; os.fork() and os._exit(0); print(os.getpid(), flush=True); time.sleep(600)'
        child = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, start_new_session=True, env={})
        return [int(child.stdout.readline()), os.getpid()]
"""


async def test_nothing_survives_a_stop(tmp_path: Path) -> None:
    """When the room stops, neither a function nor a daemon it started nor its folder is left."""
    house = House(tmp_path)
    await house.functions.start()
    house.make(DAEMON)
    daemon, function = json.loads((await house.functions.invoke("f", b"{}")).payload)
    folder = house.scratch()
    assert is_running(daemon)
    await house.stop()
    assert not is_running(daemon)
    assert not is_running(function)
    assert not folder.exists()


async def test_nothing_survives_a_timeout(house: House) -> None:
    """A function that runs out of time is gone with all that it started."""
    source = DAEMON.replace("return [", "print([").replace("getpid()]", "getpid()])\n        while True: pass")
    house.make(source, timeout=1)
    result = await house.functions.invoke("f", b"{}")
    assert "timed out" in (result.error or "")
    daemon = json.loads(next(line for line in result.log_tail.decode().splitlines() if "[" in line).replace("'", '"'))[
        0
    ]
    assert not is_running(daemon)


SERVER = """
    import asyncio, os, pathlib, sys
    from function_house import House
    async def main():
        house = House(pathlib.Path(sys.argv[1]))
        await house.functions.start()
        house.make('''SOURCE''')
        answer = (await house.functions.invoke("f", b"{}")).payload.decode()
        print(answer[:-1], ',"', house.scratch(), '"]', sep='', flush=True)
        await asyncio.sleep(600)
    asyncio.run(main())
"""


async def test_nothing_survives_a_killed_server(tmp_path: Path) -> None:
    """After kill -9 of the server its functions, their daemons and its folders are gone."""
    script = textwrap.dedent(SERVER).replace("SOURCE", textwrap.dedent(DAEMON))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    server = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, env=environment)
    assert server.stdout is not None
    line = b""
    while not line.startswith(b"["):
        line = await asyncio.to_thread(server.stdout.readline)
        assert line or server.poll() is None
    daemon, function, folder = json.loads(line)
    server.send_signal(signal.SIGKILL)
    server.wait()
    server.stdout.close()
    await until(lambda: not is_running(daemon) and not is_running(function) and not Path(folder).parent.exists())


async def test_nobody_steals_events(house: House) -> None:
    """Another local process that asks a function's Runtime API for its events is shut out without a word."""
    house.make("import os\ndef handler(e, c): return os.environ['AWS_LAMBDA_RUNTIME_API']")
    host, port = json.loads((await house.functions.invoke("f", b"{}")).payload).split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()
    assert (await house.functions.invoke("f", b"{}")).function_error is None


async def test_a_child_of_a_function_is_shut_out_too(house: House) -> None:
    """Not even what a function starts may speak for it."""
    source = """
        import subprocess, sys
        code = '''
        import os, urllib.request
        url = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/next"
        try: urllib.request.urlopen(url)
        except OSError: print("refused")
        '''.replace('        ', '')
        def handler(e, c): return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout
    """
    house.make(source, timeout=10)
    assert "refused" in json.loads((await house.functions.invoke("f", b"{}")).payload)


async def test_rubbish_from_the_function_itself(house: House) -> None:
    """What a handler says to its Runtime API out of turn is refused and harms nobody."""
    source = """
        import os, socket
        PREFIX = '/2018-06-01/runtime/invocation/'
        def ask(text):
            host, port = os.environ['AWS_LAMBDA_RUNTIME_API'].split(':')
            with socket.create_connection((host, int(port)), 5) as s:
                s.sendall(text.encode())
                try: return s.recv(12).decode()
                except OSError: return ''
        def handler(e, c):
            wrong = PREFIX + '00000000-0000-0000-0000-000000000000/response'
            return [
                ask(f'GET {PREFIX}next HTTP/1.1\\r\\n\\r\\n'),
                ask(f'POST {wrong} HTTP/1.1\\r\\nContent-Length: 0\\r\\n\\r\\n'),
                ask('GET / HTTP/1.1\\r\\n\\r\\n'),
                ask('rubbish\\r\\n\\r\\n'),
                ask('GET / HTTP/1.1\\r\\nX: ' + 'x' * 3_000_000),
            ]
    """
    house.make(source, timeout=10)
    answers = json.loads((await house.functions.invoke("f", b"{}")).payload)
    assert answers == ["HTTP/1.1 403", "HTTP/1.1 400", "HTTP/1.1 404", "", ""]


async def test_a_chatty_function_is_cut_short(house: House) -> None:
    """One invocation logs at most 256 KiB; the log says how much is missing, and the next one is heard again."""
    house.make("def handler(e, c):\n for _ in range(e): print('x' * 999)\n print('end')")
    await house.functions.invoke("f", b"2000")
    await house.functions.invoke("f", b"1")
    text = house.log()
    assert len(text) < output.INVOCATION_BYTES + 10_000
    assert "bytes of output dropped" in text
    assert text.count("END RequestId") == 2


def test_loopback_is_all_the_runtime_api_listens_on() -> None:
    """The Runtime API binds to 127.0.0.1 and nothing else."""
    from fleetward.functions.runtime_api import RuntimeApi

    async def bound() -> str:
        async def nobody(peer: tuple[str, int], here: tuple[str, int]) -> bool:
            return False

        api = RuntimeApi("arn", nobody)
        await api.start()
        host = api.address[0]
        api.close()
        return host

    assert asyncio.run(bound()) == "127.0.0.1"
    assert socket.inet_aton("127.0.0.1")

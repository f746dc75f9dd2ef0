"""What functions cannot do to each other, to their server's process, or to the machine's supply of processes."""

import asyncio
import json
import os
import resource
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from function_house import House

from fleetward.functions import seccomp, view
from fleetward.functions.confined import landlock
from fleetward.functions.scratch import Space

needs_landlock = pytest.mark.skipif(not landlock.version(), reason="the kernel has no Landlock")
needs_filter = pytest.mark.skipif(bool(seccomp.missing()), reason=seccomp.missing())

needs_view = pytest.mark.skipif(
    bool(view.lack(str(Path(view.__file__).parent), os.geteuid() == 0)), reason="the kernel has no namespaces for us"
)

WELL = "def handler(e, c): return 'well'"

SECRETIVE = """
    import os
    def handler(e, c):
        with open(os.environ['TMPDIR'] + '/private.key', 'w') as file: file.write('secret')
        return os.getpid()
"""

SPY = """
    import os
    TRIES = {
        'read code': lambda code, tmp, pid: open(code + '/m.py').read(),
        'change code': lambda code, tmp, pid: open(code + '/m.py', 'a').write('evil'),
        'list code': lambda code, tmp, pid: os.listdir(code),
        'plant code': lambda code, tmp, pid: open(code + '/n.py', 'w'),
        'read scratch': lambda code, tmp, pid: open(tmp + '/private.key').read(),
        'list scratch': lambda code, tmp, pid: os.listdir(tmp),
        'plant in scratch': lambda code, tmp, pid: open(tmp + '/planted', 'w'),
        'list all': lambda code, tmp, pid: os.listdir(os.path.dirname(os.path.dirname(code))),
        'list every server': lambda code, tmp, pid: os.listdir(os.path.dirname(os.path.dirname(os.path.dirname(code)))),
        'by the process': lambda code, tmp, pid: os.listdir(f'/proc/{pid}/cwd/'),
        'through the process': lambda code, tmp, pid: os.listdir(f'/proc/{pid}/root/tmp'),
        'environment': lambda code, tmp, pid: open(f'/proc/{pid}/environ').read(),
        'signal': lambda code, tmp, pid: os.kill(pid, 9),
    }
    def handler(e, c):
        done = []
        for name, attempt in TRIES.items():
            try:
                attempt(*e)
            except (PermissionError, FileNotFoundError):
                continue
            except Exception as problem:
                name += f': {problem!r}'
            done.append(name)
        return done
"""


async def victim(house: House) -> list[object]:
    """Its folders of code and of temporary files, as the machine has them, and its process."""
    pid = await call(house, SECRETIVE, name="victim")
    return [str(house.scratch() / "code"), str(house.scratch() / "tmp"), pid]


async def call(house: House, source: str, event: object = None, name: str = "f", **options: object) -> object:
    house.make(source, name, **options)
    return json.loads((await house.functions.invoke(name, json.dumps(event).encode())).payload)


@needs_landlock
async def test_functions_are_apart(house: House) -> None:
    """A function can neither read, list, change nor signal anything of another function, though it knows its paths."""
    assert await call(house, SPY, await victim(house)) == []


@needs_landlock
async def test_functions_are_apart_without_a_view(without_view: House) -> None:
    """That holds as well where all functions see the machine's /tmp."""
    assert await call(without_view, SPY, await victim(without_view)) == []


@needs_landlock
async def test_functions_of_another_server_are_apart_too(tmp_path: Path, house: House) -> None:
    """That holds between the functions of two servers of one user."""
    (tmp_path / "other").mkdir()
    other = House(tmp_path / "other")
    await other.functions.start()
    assert await call(house, SPY, await victim(other)) == []
    await other.stop()


@needs_landlock
async def test_own_code_is_read_only(house: House) -> None:
    """A function reads the files of its own package and cannot change them."""
    source = """
        import os
        def handler(e, c):
            assert 'handler' in open('m.py').read() and os.listdir('.') == ['m.py']
            try: open('m.py', 'a')
            except PermissionError: return 'read only'
    """
    assert await call(house, source) == "read only"


@needs_landlock
@pytest.mark.parametrize("path", ["/var/tmp/planted", "/dev/shm/planted", "/proc/self/oom_score_adj"])
async def test_nothing_shared_is_writable(house: House, path: str) -> None:
    """The one place a function may write to is its own: what it left in a shared folder, others could read."""
    source = f"def handler(e, c):\n try: open({path!r}, 'w')\n except PermissionError: return 'refused'"
    assert await call(house, source) == "refused"


@needs_landlock
async def test_tmp_without_a_view(without_view: House) -> None:
    """Where a function cannot have a /tmp of its own it has TMPDIR, and the room says so."""
    source = """
        import os
        def handler(e, c):
            open(os.environ['TMPDIR'] + '/x', 'w')
            try: open('/tmp/fleetward-planted', 'w')
            except PermissionError: return 'refused'
    """
    assert await call(without_view, source) == "refused"
    said = "functions cannot write to /tmp itself, only to TMPDIR (no namespaces)"
    assert said in without_view.functions.isolation()


NOTE = """
    import os, tempfile
    def handler(e, c):
        before = os.listdir('/tmp')
        with open('/tmp/fleetward-test-x', 'w') as file: file.write(e)
        with tempfile.NamedTemporaryFile() as file: assert file.name.startswith('/tmp/')
        read = open('/tmp/fleetward-test-x').read()
        return [before, read, os.listdir('/tmp'), os.environ['LAMBDA_TASK_ROOT'], os.getcwd()]
"""


@needs_view
async def test_a_tmp_of_its_own(house: House) -> None:
    """A function finds an empty /tmp and keeps files there, which neither a neighbour nor the machine sees."""
    for name in ("one", "two"):
        before, read, after, root, folder = await call(house, NOTE, name, name=name)
        assert (before, read, after) == ([], name, ["fleetward-test-x"])
        assert root == folder
    assert not os.path.exists("/tmp/fleetward-test-x")
    assert "each has a /tmp of its own" in house.functions.isolation()
    before, *_ = json.loads((await house.functions.invoke("one", b'"again"')).payload)
    assert before == ["fleetward-test-x"], "a warm process finds what it left"


@needs_view
async def test_a_tmp_goes_with_its_function(tmp_path: Path) -> None:
    """What a function left in /tmp is gone after a stop, and so is every mount."""
    house = House(tmp_path)
    await house.functions.start()
    mounted = Path("/proc/self/mounts").read_text()
    await call(house, NOTE, "x")
    folder = house.scratch()
    assert (folder / "tmp" / "fleetward-test-x").read_text() == "x"
    await house.stop()
    assert not folder.exists()
    assert Path("/proc/self/mounts").read_text() == mounted


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
def test_a_view_without_root() -> None:
    """Whoever is not root has a view of its own through a namespace of users, where the kernel lets it."""
    room = Path(view.__file__).parent
    script = f"""
import os, sys
sys.path.append({str(room)!r})
from confined.mounts import cover, libc
os.setgroups([]), os.setgid(65534), os.setuid(65534)
libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, as after an execve: whose /proc/self is.
try: cover([('/usr/bin', '/tmp')], False)
except OSError as problem: print(problem)
else: print(os.getuid(), os.getgid(), os.path.exists('/tmp/env'))
"""
    command = [sys.executable, "-I", "-S", "-c", script]
    said = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    assert said == "65534 65534 True" or "unshare" in said or "mount over" in said


@needs_landlock
async def test_devices(house: House) -> None:
    """Of the devices a function has null, zero, full and random; a disk would be everybody's files."""
    source = """
        import os
        def handler(e, c):
            open('/dev/null', 'w').write('x')
            open('/dev/urandom', 'rb').read(1), open('/dev/zero', 'rb').read(1)
            try: return os.listdir('/dev')
            except PermissionError: return 'no more'
    """
    assert await call(house, source) == "no more"


# --- the server's process ---------------------------------------------------------------------------------------------

CALLS = """
    import ctypes, errno, os, platform, resource, signal, socket, sys
    libc = ctypes.CDLL(None, use_errno=True)
    NUMBERS = %(numbers)r
    def call(name, *arguments):
        arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
        return 0 if libc.syscall(ctypes.c_long(NUMBERS[name]), *arguments) >= 0 else ctypes.get_errno()
    def handler(pid, c):
        return {name: call(name, *(pid if a == 'pid' else a for a in arguments)) for name, arguments in %(calls)r}
"""

FOREIGN = [
    ("prlimit64", ["pid", 7, 0, 0]),
    ("kill", ["pid", 0]),
    ("kill", [-1, 0]),
    ("tkill", ["pid", 0]),
    ("tgkill", ["pid", "pid", 0]),
    ("rt_sigqueueinfo", ["pid", 0, 0]),
    ("pidfd_send_signal", [0, 0, 0, 0]),
    ("setpriority", [0, "pid", 19]),
    ("setpriority", [2, 0, 19]),
    ("ioprio_set", [1, "pid", 0]),
    ("ioprio_set", [3, 0, 0]),
    ("sched_setaffinity", ["pid", 8, 0]),
    ("sched_setparam", ["pid", 0]),
    ("sched_setscheduler", ["pid", 0, 0]),
    ("sched_setattr", ["pid", 0, 0]),
    ("migrate_pages", ["pid", 0, 0, 0]),
    ("move_pages", ["pid", 0, 0, 0, 0, 0]),
    ("ptrace", [16, "pid", 0, 0]),
    ("process_vm_readv", ["pid", 0, 0, 0, 0, 0]),
    ("process_vm_writev", ["pid", 0, 0, 0, 0, 0]),
    ("process_madvise", [0, 0, 0, 0, 0]),
    ("pidfd_getfd", [0, 0, 0]),
    ("kcmp", ["pid", "pid", 0, 0, 0]),
    ("perf_event_open", [0, "pid", -1, -1, 0]),
    ("bpf", [0, 0, 0]),
    ("keyctl", [0, -3, 0, 0, 0]),
    ("add_key", [0, 0, 0, 0, 0]),
    ("request_key", [0, 0, 0, 0]),
    ("shmget", [0, 4096, 0x200 | 0o600]),
    ("msgget", [0, 0x200 | 0o600]),
    ("mount", [0, 0, 0, 0, 0]),
    ("unshare", [0x10000000]),
    ("setns", [0, 0]),
    ("clone", [0x10000000 | 17, 0, 0, 0, 0]),
    ("userfaultfd", [0]),
    ("io_uring_setup", [1, 0]),
    ("fcntl", [0, 8, "pid"]),
    ("ioctl", [0, 0x8901, 0]),
]


@needs_filter
@pytest.mark.parametrize(("name", "arguments"), FOREIGN, ids=lambda value: str(value))
async def test_calls_across_processes(house: House, name: str, arguments: list[object]) -> None:
    """No system call that reaches into another process, makes namespaces or opens the kernel is a function's."""
    source = CALLS % {"numbers": seccomp.NUMBERS, "calls": [(name, arguments)]}
    assert await call(house, source, os.getpid()) == {name: 1}, "1 is EPERM"


@needs_filter
async def test_the_servers_limits_are_its_own(house: House) -> None:
    """A function cannot lower its server's limits, and so stop it from accepting."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    source = """
        import resource
        def handler(pid, c):
            try: resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, 0))
            except PermissionError: return 'refused'
    """
    assert await call(house, source, os.getpid()) == "refused"
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


@needs_filter
async def test_local_sockets_of_the_machine(house: House) -> None:
    """A function reaches the network and has socket pairs, but not the sockets in the file system (Docker, D-Bus…)."""
    source = """
        import socket
        def handler(e, c):
            socket.socket().close(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close(), socket.socketpair()
            try: socket.socket(socket.AF_UNIX)
            except OSError as problem: return problem.strerror
    """
    assert await call(house, source) == "Address family not supported by protocol"


@needs_filter
async def test_what_functions_may_do_to_themselves(house: House) -> None:
    """Threads, children, signals to them and limits on itself and them are a function's own affair."""
    source = """
        import concurrent.futures, os, resource, signal, subprocess, sys, threading
        def handler(e, c):
            resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
            os.setpriority(os.PRIO_PROCESS, 0, 6)
            os.sched_setaffinity(0, os.sched_getaffinity(0))
            os.sched_setaffinity(threading.get_native_id(), os.sched_getaffinity(0))
            child = subprocess.Popen(['sleep', '600'], start_new_session=True)
            resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (64, 64))
            os.killpg(child.pid, signal.SIGTERM)
            other = subprocess.Popen(['sleep', '600'])
            other.kill()
            aborted = subprocess.run([sys.executable, '-c', 'import os; os.abort()'])
            with concurrent.futures.ThreadPoolExecutor(20) as pool: total = sum(pool.map(abs, range(20)))
            if (fork := os.fork()) == 0: os._exit(7)
            status = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
            os.kill(os.getpid(), 0)
            return [child.wait(), other.wait(), aborted.returncode, total, status]
    """
    assert await call(house, source, timeout=20) == [-15, -9, -6, 190, 7]


@needs_filter
async def test_clients_work_inside(house: House) -> None:
    """boto3, paho-mqtt, numpy and asyncio (executor, subprocess, name lookup) work inside as outside."""
    source = """
        import asyncio, socket
        import boto3, numpy, paho.mqtt.client
        async def main():
            child = await asyncio.create_subprocess_exec('echo', 'hi', stdout=-1)
            await asyncio.to_thread(socket.getaddrinfo, 'localhost', 80)
            return (await child.communicate())[0].decode()
        def handler(e, c):
            try: boto3.client('iot', endpoint_url='http://127.0.0.1:1').list_things()
            except Exception as problem: name = type(problem).__name__
            try: paho.mqtt.client.Client(paho.mqtt.client.CallbackAPIVersion.VERSION2).connect('127.0.0.1', 1)
            except OSError as problem: refused = type(problem).__name__
            matrix = numpy.ones((50, 50))
            return [name, refused, float((matrix @ matrix)[0, 0]), asyncio.run(main())]
    """
    answer = await call(house, source, timeout=30, memory_size=512)
    assert answer == ["EndpointConnectionError", "ConnectionRefusedError", 50.0, "hi\n"]


async def test_isolation_says_what_is_missing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine whose system calls are not known here the room says that they go unfiltered."""
    monkeypatch.setattr(seccomp, "ARCHITECTURES", {})
    assert "no filter of system calls" in house.functions.isolation()


async def test_functions_run_without_a_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There functions run all the same, and a crowd of processes ends the function that made it."""
    monkeypatch.setattr(seccomp, "ARCHITECTURES", {})
    house = House(tmp_path)
    await house.functions.start()
    assert await call(house, WELL) == "well"
    assert "Runtime.ExitError" in str(await call(house, BOMB, name="bomb", timeout=20))
    await house.stop()


# --- processes --------------------------------------------------------------------------------------------------------

BOMB = """
    import os, time
    def handler(e, c):
        born = 0
        try:
            while True:
                if os.fork() == 0:
                    time.sleep(600)
                born += 1
        except BlockingIOError:
            return born
"""

FULL_BOMB = """
    import os
    def handler(e, c):
        while True:
            try: os.fork()
            except OSError: pass
"""


@needs_filter
async def test_processes_are_counted(house: House) -> None:
    """Past its number of processes a function's fork fails as on a full machine; the next function is not concerned."""
    born = await call(house, BOMB, name="bomb", timeout=20)
    assert 32 < born < 70
    source = "import subprocess\ndef handler(e, c): return subprocess.run(['echo', 'hi']).returncode"
    assert await call(house, source) == 0


@needs_filter
async def test_threads_are_counted(house: House) -> None:
    """So are threads, which cost the machine the same."""
    source = """
        import threading, time
        threading.stack_size(32768)
        def handler(e, c):
            for born in range(5000):
                try: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
                except RuntimeError: return born
    """
    assert 128 < await call(house, source, timeout=20) < 300


@needs_filter
async def test_children_that_end_are_not_counted(house: House) -> None:
    """A function may start any number of processes one after the other."""
    source = """
        import os
        def handler(e, c):
            for _ in range(300):
                if (child := os.fork()) == 0: os._exit(0)
                os.waitpid(child, 0)
            return 'done'
    """
    assert await call(house, source, timeout=30) == "done"


def processes() -> int:
    return sum(name.isdigit() for name in os.listdir("/proc"))


@needs_filter
async def test_fork_bomb(house: House) -> None:
    """A bomb whose every process forks stays small until its time is up, and then nothing of it is left."""
    before = processes()
    house.make(FULL_BOMB, "bomb", timeout=2)
    burning = asyncio.create_task(house.functions.invoke("bomb", b"{}"))
    most = 0
    while not burning.done():
        most = max(most, processes() - before)
        await asyncio.sleep(0.05)
    assert "timed out" in ((await burning).error or "")
    assert most < 150
    assert processes() - before < 20


# --- folders ----------------------------------------------------------------------------------------------------------


async def test_no_folder_after_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stop nothing is left in the temporary folder, whatever a function has made of its own."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    house = House(tmp_path)
    await house.functions.start()
    source = """
        import os
        def handler(e, c):
            os.chdir(os.environ['TMPDIR'])
            os.makedirs('closed/inside'), os.chmod('closed/inside', 0), os.chmod('closed', 0), os.symlink('/', 'link')
            for _ in range(3000): os.mkdir('d'), os.chdir('d')
    """
    assert await call(house, source, timeout=20) is None
    await house.stop()
    assert os.listdir(tmp_path / "temporary") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_folders_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of the functions' own passes through folders it cannot list, and owns nothing but what it may write to."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    space = Space((65534, 65534))
    folder = space.make()
    temporary = folder / "tmp"
    chain = (space.root, folder.parent, folder)
    assert [(stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) for path in chain] == [(0o711, 0)] * 3
    assert (stat.S_IMODE(temporary.stat().st_mode), temporary.stat().st_uid) == (0o700, 65534)
    space.close()
    assert os.listdir(tmp_path) == []


async def test_stale_folders_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start removes the folders of servers that are gone, and neither a living server's nor anybody else's."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    (tmp_path / "living").mkdir()
    living = House(tmp_path / "living")
    await living.functions.start()
    await call(living, WELL)
    folder = living.scratch()
    stale = folder.parents[1] / "server-stale"
    (stale / "function" / "code").mkdir(parents=True)
    (temporary / "others").mkdir()
    house = House(tmp_path)
    await house.functions.start()
    assert not stale.exists()
    assert folder.exists()
    assert (temporary / "others").exists()
    await living.stop()
    await house.stop()
    assert os.listdir(temporary) == ["others"]


async def test_a_squatted_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of our name that somebody else could write to is not used."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    squatted = tmp_path / f"fleetward-functions-{os.geteuid()}"
    squatted.mkdir()
    squatted.chmod(0o777)
    house = House(tmp_path)
    await house.functions.start()
    assert await call(house, WELL) == "well"
    assert not house.scratch().is_relative_to(squatted)
    await house.stop()
    assert os.listdir(squatted) == []


def test_a_python_that_the_own_tmp_would_hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python is reached through a link below /tmp, functions get no /tmp of their own: they could not start."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        link = Path(folder) / "python"
        link.symlink_to(sys.executable)
        monkeypatch.setattr(sys, "executable", str(link))
        assert view.lack(str(Path(view.__file__).parent), os.geteuid() == 0) == "Python is below /tmp or /var/tmp"

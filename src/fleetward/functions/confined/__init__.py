"""One function process in its confinement, started by `-c "from confined.keeper import main; main()" < order.json`.

Nothing but the standard library is imported here, so that it starts in milliseconds and before anything else does.

The *keeper* (keeper.py) is trusted code, the reaper of whatever the function leaves behind. It ends when the function
does, when it is told to (SIGTERM), or when the server dies, however the server dies; then nothing that descends from
it survives and the scratch folder is gone. Meanwhile it answers the kernel's questions about what the function does to
processes (questions.py). The *function* (child.py) is its child: it gives up its user, its rights and its view of the
file system before it becomes `awslambdaric`. The first line it writes is its process id.

The order: server (pid), command, environment, scratch, user ([uid, gid] or null), rlimits; the mounts that
make its view of the file system ([what, over what]) and, in that view, the paths that are readable, writable and hidden
and the folder to start in; filters (BPF programs in hex: asking, which asks the keeper, and plain, where that is not
possible; both may be missing), the targets asked about (system call → argument), and the most processes and threads.
"""

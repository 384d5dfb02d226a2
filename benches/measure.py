"""One run of a contender, measured."""

import json
import os
import resource
import subprocess
import time


def measure(command, environment, server, answer, log, limits=None):
    """Runs the command, its output in the file `answer` and its complaints in `log`, within the limits if there are any. Gives

    - code: how it ended,
    - wall_s,
    - client_cpu_s: user and system time of its whole process tree,
    - server_cpu_s: the same of all processes of the server,
    - peak_mb: the most memory that any single process of the tree had; some 20 MB of that may be Python's, from before
      the command took the process over.
    """
    os.sync()
    server.ask("CHECKPOINT")
    before = server.cpu_s()
    measured = _in_a_child(command, environment, answer, log, limits)
    measured["server_cpu_s"] = server.cpu_s() - before
    return measured


def _in_a_child(command, environment, answer, log, limits):
    """A child of a child, because the kernel tells the sum and the maximum over all children that have ended."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        code = 1
        try:
            os.write(writer, json.dumps(_run(command, environment, answer, log, limits)).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as told:
        text = told.read()
    os.waitpid(child, 0)
    return json.loads(text)


def _run(command, environment, answer, log, limits):
    begin = time.monotonic()
    with open(answer, "w") as output, open(log, "w") as complaints:
        done = subprocess.run(
            [str(word) for word in command], env=environment, check=False,
            stdin=subprocess.DEVNULL, stdout=output, stderr=complaints, preexec_fn=limits and limits.enter,
        )
    wall_s = time.monotonic() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "code": done.returncode,
        "wall_s": wall_s,
        "client_cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss * 1024 / 1e6,
    }


def size_of(folder):
    """Bytes and number of the files below it."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(sizes), len(sizes)

"""The AWS stand-in: moto's server, with everything in memory."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

from . import tools
from .home import Trouble, free_port, read_json, write_json


def ensure(home):
    """A running stand-in: its endpoint, process and log."""
    with home.lock("moto"):
        known = describe(home)
        return known if known and _answers(known["endpoint"]) else _start(home)


def describe(home):
    return read_json(home.folder("moto") / "moto.json")


def stop(home):
    with home.lock("moto"):
        known = describe(home)
        if known is None:
            return
        # The number may belong to another process by now: only what answers as ours is ended.
        if _answers(known["endpoint"]):
            os.kill(known["pid"], signal.SIGTERM)
        (home.folder("moto") / "moto.json").unlink()


def packages(home):
    """The folder of its packages."""
    return tools.installed(home, "moto.txt", "moto-packages")


def _start(home):
    folder_of_packages = packages(home)
    folder = home.folder("moto")
    port = free_port()
    with open(folder / "moto.log", "w") as log:
        process = subprocess.Popen(
            [str(tools.python(home)), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            # Nothing of the caller's AWS settings may reach it.
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder_of_packages), "HOME": str(folder), "LC_ALL": "C.UTF-8"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    known = {"endpoint": f"http://127.0.0.1:{port}", "pid": process.pid, "log": str(folder / "moto.log")}
    deadline = time.monotonic() + 60
    while not _answers(known["endpoint"]):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Trouble(f"the AWS stand-in does not start:\n{(folder / 'moto.log').read_text()[-2000:]}")
        time.sleep(0.05)
    write_json(folder / "moto.json", known)
    return known


def _answers(endpoint):
    try:
        with urllib.request.urlopen(f"{endpoint}/moto-api/data.json", timeout=10) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False

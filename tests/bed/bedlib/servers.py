"""PostgreSQL servers: one shared by all tests for each major version, and private ones for tests that crash theirs."""

import hashlib
import os
import shutil
import time
from pathlib import Path

from . import packages
from .home import Trouble, free_port, loopback, must, read_json, write_json

MAJORS = tuple(packages.VERSIONS)
PASSWORD = "bed-password"

CONFIGURATION = """
port = {port}
listen_addresses = '{addresses}'
unix_socket_directories = '{socket_dir}'
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
wal_level = logical
max_prepared_transactions = 10
shared_buffers = 64MB
max_wal_size = 512MB
timezone = 'UTC'
log_timezone = 'UTC'
# The data outlives no test run: a crash of the server must be survived, one of the machine need not.
fsync = off
full_page_writes = off
"""

# Plain connections are welcome except for `tls_only`, so that tests can tell what the client did.
AUTHENTICATION = """
local     all          all                     trust
hostnossl all          tls_only  all           reject
host      all          all       127.0.0.1/32  scram-sha-256
host      all          all       ::1/128       scram-sha-256
host      replication  all       127.0.0.1/32  scram-sha-256
"""


def names(home):
    return sorted(path.name for path in home.folder("servers").iterdir() if (path / "server.json").exists())


def ensure(home, name, major, lines=()):
    """A running server of this name: the one there is, or a new one. Gives its description."""
    _check_name(name)
    if major not in MAJORS:
        raise Trouble(f"there is no server {major}; there are {', '.join(MAJORS)}")
    with home.lock(f"server-{name}"):
        server = describe(home, name)
        if server and server["recipe"] != _recipe(major):
            _remove(home, server)
            server = None
        if server is None:
            server = _create(home, name, major, lines)
        if not _is_running(home, server):
            server = _start(home, server)
    return server


def start_again(home, name, lines=()):
    with home.lock(f"server-{name}"):
        server = _known(home, name)
        with open(Path(server["data_dir"]) / "postgresql.conf", "a") as configuration:
            configuration.writelines(f"{line}\n" for line in lines)
        return server if _is_running(home, server) else _start(home, server)


def stop(home, name, mode="fast"):
    if mode not in ("fast", "immediate"):
        raise Trouble(f"a server stops fast or immediate, not {mode!r}")
    with home.lock(f"server-{name}"):
        _stop(home, _known(home, name), mode)


def remove(home, name):
    with home.lock(f"server-{name}"):
        server = describe(home, name)
        if server:
            _remove(home, server)


def describe(home, name):
    return read_json(home.folder("servers") / name / "server.json")


def url(home, server, database):
    ca = authorities(home)["ca"]
    return (
        f"postgresql://postgres:{PASSWORD}@localhost:{server['port']}/{database}?sslmode=verify-full&sslrootcert={ca}"
    )


def authorities(home):
    """The certificate authority that signed the servers' certificate, and one that did not."""
    folder = _certificates(home)
    return {"ca": str(folder / "ca.crt"), "other_ca": str(folder / "other-ca.crt")}


def _known(home, name):
    server = describe(home, name)
    if server is None:
        raise Trouble(f"there is no server called {name}")
    return server


def _check_name(name):
    if not name or len(name) > 20 or not all(letter.isalnum() or letter in "-_" for letter in name):
        raise Trouble(f"{name!r} is no name for a server: up to 20 letters, digits, - and _")


def _recipe(major):
    """What a server was made from: one made from something else is thrown away."""
    text = CONFIGURATION + AUTHENTICATION + PASSWORD + packages.VERSIONS[major][0]
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _create(home, name, major, lines):
    folder = home.folder("servers", name)
    for leftover in folder.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    server = {
        "name": name,
        "major": int(major),
        "recipe": _recipe(major),
        "port": 0,
        "addresses": [address for _, address in loopback()],
        "socket_dir": str(folder / "run"),
        "data_dir": str(folder / "data"),
        "log": str(folder / "data" / "server.log"),
        "user": "postgres",
        "password": PASSWORD,
        **authorities(home),
    }
    _initdb(home, server, folder)
    with open(folder / "data" / "postgresql.conf", "a") as configuration:
        configuration.write("include 'bed.conf'\n")
        configuration.writelines(f"{line}\n" for line in lines)
    write_json(folder / "server.json", server)
    return server


def _initdb(home, server, folder):
    secret = folder / "password"
    secret.write_text(PASSWORD + "\n")
    for path, mode in ((folder / "data", 0o700), (folder / "run", 0o777)):
        path.mkdir()
        home.account.own(path)
        path.chmod(mode)
    command = ["initdb", "--pgdata", server["data_dir"], "--username=postgres", f"--pwfile={secret}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    _postgres(home, server, command)
    secret.unlink()
    for file in ("server.crt", "server.key"):
        target = folder / "data" / file
        shutil.copyfile(_certificates(home) / file, target)
        home.account.own(target)
        target.chmod(0o600)
    (folder / "data" / "pg_hba.conf").write_text(AUTHENTICATION)


def _start(home, server):
    for attempt in range(5):
        # A port that was free a moment ago may be taken by now, so a failure is tried on another.
        if attempt or not server["port"]:
            server["port"] = free_port()
        _write_configuration(home, server)
        command = ["pg_ctl", "--pgdata", server["data_dir"], "--log", server["log"], "--wait", "--timeout=60", "start"]
        code, output = _attempt(home, server, command)
        if code == 0:
            write_json(home.folder("servers") / server["name"] / "server.json", server)
            return server
        log = Path(server["log"]).read_text(errors="replace") if os.path.exists(server["log"]) else ""
        if "Address already in use" not in log.rpartition("starting PostgreSQL")[2]:
            break
    raise Trouble(f"server {server['name']} does not start: {output.strip()}\n{log[-2000:]}")


def _write_configuration(home, server):
    target = Path(server["data_dir"]) / "bed.conf"
    target.write_text(
        CONFIGURATION.format(
            port=server["port"], addresses=",".join(server["addresses"]), socket_dir=server["socket_dir"]
        )
    )
    home.account.own(target)


def _is_running(home, server):
    return _attempt(home, server, ["pg_ctl", "--pgdata", server["data_dir"], "status"])[0] == 0


def _stop(home, server, mode):
    if _is_running(home, server):
        command = ["pg_ctl", "--pgdata", server["data_dir"], "--wait", "--timeout=60", f"--mode={mode}", "stop"]
        _postgres(home, server, command)


def _remove(home, server):
    _stop(home, server, "immediate")
    shutil.rmtree(home.folder("servers") / server["name"])


def _attempt(home, server, command):
    native = packages.installed(home, str(server["major"]))
    environment = {
        "PATH": f"{native}/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{native}/lib",
        "LC_ALL": "C.UTF-8",
        "HOME": "/tmp",
    }
    return home.account.run([native / "bin" / command[0], *command[1:]], environment)


def _postgres(home, server, command):
    code, output = _attempt(home, server, command)
    if code != 0:
        raise Trouble(f"`{command[0]}` of server {server['name']} ended with {code}:\n{output.strip()}")


def _certificates(home):
    folder = home.folder("certificates")
    with home.lock("certificates"):
        # The last file to be written stands for all; a year before their end they are made again.
        mark = folder / "other-ca.crt"
        if not mark.exists() or time.time() - mark.stat().st_mtime > 9 * 365 * 86400:
            must(["node", Path(__file__).parent / "certificates.mjs", folder])
    return folder

"""The server of a run, and what else comes from the test bed."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINES = [
    "autovacuum = off",
    "shared_buffers = 512MB",
    "maintenance_work_mem = 256MB",
    "max_wal_size = 8GB",
    "max_locks_per_transaction = 512",
]
QUIET = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning"}
TICKS = os.sysconf("SC_CLK_TCK")


def bed(*arguments):
    return subprocess.run([ROOT / "tests/bed/bed", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class Server:
    def __init__(self, name, major):
        self.name = name
        known = json.loads(bed("new", name, major, *LINES))
        self.port, self.password, self.folder = known["port"], known["password"], Path(known["data_dir"])
        self.psql = [bed("path-of", "psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
        self.psql += ["--set", "ON_ERROR_STOP=1", "--host", known["socket_dir"], "--port", str(self.port), "--username", "postgres"]
        self.postmaster = int((self.folder / "postmaster.pid").read_text().split()[0])

    def url(self, database):
        """Over TCP and with TLS, as every contender connects."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}?sslmode=require"

    def ask(self, statement, database="postgres"):
        command = [*self.psql, "--dbname", database, "--command", statement]
        return subprocess.run(command, env=QUIET, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def run_file(self, path, database, **variables):
        words = [word for name, value in variables.items() for word in ("--set", f"{name}={value}")]
        command = [*self.psql, "--dbname", database, *words, "--file", path]
        subprocess.run(command, env=QUIET, check=True, stdout=subprocess.DEVNULL)

    def create(self, database):
        self.drop(database)
        self.ask(f"CREATE DATABASE {database} TEMPLATE template0")

    def drop(self, database):
        self.ask(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def bytes_of(self, database):
        return int(self.ask(f"SELECT coalesce((SELECT pg_database_size(oid) FROM pg_database WHERE datname = '{database}'), 0)"))

    def cpu_s(self):
        """What all processes of the server have used since it started: those that live, and those that it has buried."""
        return sum(used for pid in self._processes() for used in [_cpu_s(pid, also_buried=pid == self.postmaster)])

    def _processes(self):
        children = Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children").read_text().split()
        return [self.postmaster, *map(int, children)]

    def remove(self):
        bed("remove", self.name)


def _cpu_s(pid, also_buried):
    try:
        # The name, in brackets, may hold spaces; user, system and those of ended children are fields 14 to 17.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11 : 15 if also_buried else 13])) / TICKS

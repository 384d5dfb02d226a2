"""The programs of a comparison: Lifeboat, its peers, and which of them this machine has.

`pg_dump` and `pg_restore` are those of the Lambda layer (`infra/client-tools`), which speak TLS and know zstd; they are built
when they are not there, which takes some minutes. `psql`, `restic`, `age`, `zstd` and `pgcopydb` are the machine's.
"""

import json
import platform
import re
import shutil
import subprocess
from pathlib import Path

from bed import ROOT, bed

LAYER = ROOT / "infra" / "client-tools"


class Peers:
    """Paths of programs; None for one that is not here, and then `why_not` says why."""

    def __init__(self, lifeboat, server):
        self.lifeboat = lifeboat
        self.why_not = {}
        self.pg_dump, self.pg_restore = self._client_tools()
        self.psql = self._psql_with_tls(server)
        self.zstd, self.age, self.restic = (self._installed(name) for name in ("zstd", "age", "restic"))
        self.pgcopydb = self._pgcopydb()
        self.help = {verb: _output([lifeboat, verb, "--help"]) for verb in ("backup", "restore")}

    def missing(self, *names):
        """Why a contender that needs these programs cannot run; None if it can."""
        return next((self.why_not[name] for name in names if getattr(self, name) is None), None)

    def reading_modes(self):
        return ("all", "changed") if re.search(r"--read\b", self.help["backup"]) else ()

    def unproven_option(self):
        """The option of `restore` that leaves the proof out, if this Lifeboat has one."""
        found = re.search(r"--(?:no|skip|without)-(?:proof|prove)\b", self.help["restore"])
        return found and found[0]

    def versions(self):
        programs = {name: getattr(self, name) for name in ("lifeboat", "pg_dump", "psql", "zstd", "age", "restic", "pgcopydb")}
        found = {name: _version(name, program) for name, program in programs.items() if program}
        return {**found, **{name: f"not installed: {why}" for name, why in self.why_not.items() if name != "pg_restore"}}

    def _client_tools(self):
        if built_client_tools() == (None, None):
            done = subprocess.run([LAYER / "make-layer", platform.machine()], check=False, stdout=subprocess.DEVNULL)
            if done.returncode != 0:
                why = "no pg_dump with TLS and zstd: infra/client-tools/make-layer says what it lacks"
                self.why_not.update(pg_dump=why, pg_restore=why)
        return built_client_tools()

    def _psql_with_tls(self, server):
        # Debian's `psql` is a script that looks for the program; that should not count.
        newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"), reverse=True)
        for program in [*newest, shutil.which("psql")]:
            if program and _succeeds([program, server.url("postgres"), "--command", "SELECT 1"]):
                return program
        self.why_not["psql"] = "no psql that speaks TLS (Debian: postgresql-client)"
        return None

    def _pgcopydb(self):
        program = self._installed("pgcopydb")
        if program and "dump db" not in _output([program, "help"]) + _output([program, "dump", "db", "--help"]):
            self.why_not["pgcopydb"] = f"{_version('pgcopydb', program)} dumps definitions only, no rows"
            return None
        return program

    def _installed(self, name):
        program = shutil.which(name)
        if program is None:
            self.why_not[name] = f"{name} is not installed"
        return program


class Store:
    """The bed's S3, by a program that has boto3."""

    def __init__(self):
        self.endpoint = json.loads(bed("up", "moto"))["moto"]["endpoint"]
        packages = Path(json.loads(bed("up", "moto-packages"))["moto-packages"])
        self.program = [packages.parent / "venv/bin/python", Path(__file__).parent / "s3.py"]
        self.environment = {
            "PYTHONPATH": str(packages),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def do(self, verb, bucket):
        command = [*self.program, verb, bucket]
        return subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def built_client_tools():
    """`pg_dump` and `pg_restore` of the Lambda layer, if it was built."""
    folder = LAYER / "build" / platform.machine() / "bin"
    return (folder / "pg_dump", folder / "pg_restore") if (folder / "pg_dump").exists() else (None, None)


def _version(name, program):
    text = _output([program, "version" if name == "restic" else "--version"]).strip()
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return f"{name} {found[0] if found else text}"


def _output(command):
    told = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.run(command, check=False, **told).stdout


def _succeeds(command):
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(command, check=False, **quiet).returncode == 0

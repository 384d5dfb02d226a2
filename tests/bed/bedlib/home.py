"""Where the bed lives, as whom its servers run, and how its processes keep out of each other's way."""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import pwd
import random
import shutil
import socket
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]

# A socket's path may have 107 bytes; ours ends in /servers/NAME/run/.s.PGSQL.NNNNN.
LONGEST_HOME = 60


class Trouble(Exception):
    """What keeps the bed from working, in words for the person in front of it."""


class Unavailable(Trouble):
    """What this machine has not, and tests can do without."""


class Account:
    """Runs programs as the account that owns the servers: ourselves, or `nobody` for root (whom PostgreSQL refuses)."""

    def __init__(self):
        entry = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        self.is_other = os.geteuid() == 0

    def own(self, path):
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def run(self, command, environment):
        """Gives (exit code, output). Nothing of our environment is passed on."""
        return run(command, environment, **self._identity())

    def _identity(self):
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}

    def can_enter(self, folder):
        """Whether the account may pass through `folder` and all above it."""
        if not self.is_other:
            return True
        return all(self._may_enter(path) for path in [folder, *folder.parents] if path.exists())

    def _may_enter(self, path):
        status = path.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        if status.st_gid == self.gid:
            return bool(status.st_mode & 0o010)
        return bool(status.st_mode & 0o001)


class Home:
    def __init__(self, path):
        self.path = path
        self.account = Account()

    @classmethod
    def find(cls):
        check_platform()
        path = REPOSITORY / (os.environ.get("LIFEBOAT_BED") or ".bed")
        if len(str(path)) > LONGEST_HOME or not Account().can_enter(path):
            # Too deep for a socket, or the servers' account cannot get in (a checkout under /root, say).
            key = hashlib.sha256(str(path).encode()).hexdigest()[:12]
            path = Path("/var/tmp") / f"lifeboat-bed-{key}"
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        if path.stat().st_uid != os.geteuid():
            raise Trouble(f"{path} belongs to somebody else; set LIFEBOAT_BED to a folder of your own")
        path.chmod(0o755)
        return cls(path)

    def folder(self, *parts):
        """A folder that the servers' account can pass through."""
        folder = self.path
        for part in parts:
            folder = folder / part
            folder.mkdir(mode=0o755, exist_ok=True)
        return folder

    @contextlib.contextmanager
    def lock(self, name):
        """One process at a time; the kernel frees it however the holder ends."""
        with open(self.folder("locks") / name, "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


def check_platform():
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "AMD64"):
        raise Trouble(
            f"the servers are built for Linux on x86_64, this is {platform.system()} on {platform.machine()}; "
            "run the tests in a container or virtual machine of that kind"
        )
    if platform.libc_ver()[0] != "glibc":
        raise Trouble("the servers need glibc; run the tests on a distribution that has it (Debian, Fedora, …)")


def run(command, environment=None, **options):
    """Gives (exit code, output) of a command that reads nothing."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **options,
        )
    except FileNotFoundError:
        raise Trouble(f"{command[0]} is needed and was not found") from None
    return done.returncode, done.stdout


def must(command, environment=None, **options):
    code, output = run(command, environment, **options)
    if code != 0:
        raise Trouble(f"`{' '.join(str(word) for word in command)}` ended with {code}:\n{output.strip()}")
    return output


def free_port():
    """A port free on all loopback addresses, below those that the kernel gives to outgoing connections."""
    for _ in range(200):
        port = random.randint(15000, 31999)
        if all(_can_bind(family, address, port) for family, address in loopback()):
            return port
    raise Trouble("no free port between 15000 and 31999")


def loopback():
    addresses = [(socket.AF_INET, "127.0.0.1")]
    if _can_bind(socket.AF_INET6, "::1", 0):
        addresses.append((socket.AF_INET6, "::1"))
    return addresses


def _can_bind(family, address, port):
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, port))
        return True
    except OSError:
        return False


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def write_json(path, value):
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(value, indent=2))
    temporary.rename(path)

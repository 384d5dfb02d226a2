#!/usr/bin/env python3
"""memory.py [GB [LIFEBOAT]]: the peak memory of a backup, a second one, a full verification and a restore of one table of
so many GB (2 without an argument), with default settings, on a server that is made for it. Prints a table; ends with 1 when
one of them took more than the promised 256 MB.

Without LIFEBOAT, the release build of the command line is made and used.
"""

import base64
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BED = ROOT / "tests" / "bed" / "bed"
SERVER = f"memory-{os.getpid()}"
PROMISED_MB = 256
# A row of this table takes some 500 bytes, half of which compress away.
ROWS_PER_GB = 2_000_000
ROW = "i AS id, now() AS at, repeat(md5(i::text), 7) AS text, md5((i * 7)::text) || md5((i * 11)::text) || md5((i * 13)::text) AS noise"


def main():
    gb = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    lifeboat = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else build()
    folder = Path(tempfile.mkdtemp(prefix="memory-", dir=bed("path-of", "home").strip()))
    try:
        return measure(lifeboat, folder, gb)
    finally:
        bed("remove", SERVER)
        shutil.rmtree(folder, ignore_errors=True)


def build():
    tls = subprocess.run(["pkg-config", "--exists", "openssl"], check=False).returncode == 0
    features = [] if tls else ["--features", "vendored-tls"]
    subprocess.run(["cargo", "build", "--locked", "--release", "--package", "lifeboat-cli", *features], cwd=ROOT, check=True)
    return ROOT / "target" / "release" / "lifeboat"


def measure(lifeboat, folder, gb):
    server = json.loads(bed("new", SERVER, "17", "fsync = off", "max_wal_size = 8GB", "autovacuum = off"))
    url = f"postgresql://postgres:{server['password']}@127.0.0.1:{server['port']}/postgres?sslmode=require"
    psql = [bed("path-of", "psql").strip(), "--host", server["socket_dir"], "--port", str(server["port"]), "--username", "postgres"]
    rows = int(gb * ROWS_PER_GB)
    table = f"CREATE TABLE big AS SELECT {ROW} FROM generate_series(1, {rows}) i"
    subprocess.run([*psql, "--quiet", "--command", table, "--command", "CHECKPOINT"], check=True)
    size = subprocess.run(
        [*psql, "--tuples-only", "--no-align", "--command", "SELECT pg_size_pretty(pg_table_size('big'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()
    environment = {
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
        "LIFEBOAT_VAULT": str(folder / "vault"),
        "LIFEBOAT_MASTER_KEY": base64.b64encode(os.urandom(32)).decode(),
        "LIFEBOAT_DATABASE_URL": url,
        "LIFEBOAT_PG_DUMP": bed("path-of", "pg_dump").strip(),
    }
    print(f"{rows:,} rows, {size}, {os.cpu_count()} processors\n\n{'':24}{'peak memory':>12}{'time':>10}")
    subprocess.run([lifeboat, "init", "--quiet"], env=environment, check=True, stdout=subprocess.DEVNULL)
    verbs = {
        "backup": ["backup"],
        "backup, unchanged": ["backup"],
        "verify --depth full": ["verify", "latest", "--depth", "full"],
        "restore": ["restore", "latest", "--into", "big_copy"],
    }
    most = 0
    for name, arguments in verbs.items():
        begin = time.monotonic()
        peak_mb = peak([lifeboat, *arguments, "--quiet"], environment)
        most = max(most, peak_mb)
        print(f"{name:24}{peak_mb:9.0f} MB{time.monotonic() - begin:8.1f} s", flush=True)
    return int(most > PROMISED_MB)


def peak(command, environment):
    """The most memory that the command had at once, in MB. A child of a child, because the kernel tells the maximum over
    all children that have ended."""
    if (child := os.fork()) == 0:
        status = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode
        peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        Path(environment["HOME"], "peak").write_text(str(peak_kb))
        os._exit(status)
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {os.waitstatus_to_exitcode(status)}")
    return int(Path(environment["HOME"], "peak").read_text()) * 1024 / 1e6


def bed(*arguments):
    return subprocess.run([BED, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())

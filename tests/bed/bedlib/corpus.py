"""PostgreSQL's own regression-test database: whatever its developers thought of testing, as a database to back up.

The scripts are those of Debian's source packages, checked against the hashes below, with the shared libraries that they
want. A server runs the scripts of the nearest version that has them. What a script expects to see does not matter, and a
statement that this server does not know is passed over: the database that is left is the corpus.
"""

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import packages, servers, tools
from .home import Trouble, Unavailable, must, run

DATABASE = "regression"
# By major version: Debian's package and suite, the version of PostgreSQL and the SHA-256 of its source.
SOURCES = {
    "15": ("postgresql-15", "bookworm", "15.18", "11df0df97fe3ea4ba9a791faaf39cee1d2fe571e78885b5b55d8517d27c323b4"),
    "18": ("postgresql-18", "sid", "18.6", "555610c24d53e4316da5b7d3fc25c279d96856d5e0e23ee308c328c5fa881d9f"),
}
SCRIPTS_FOR = {"14": "15", "15": "15", "16": "15", "17": "15", "18": "18"}
LIBRARIES = ("src/test/regress/regress.so", "contrib/spi/refint.so", "contrib/spi/autoinc.so")
# Of scripts that may run beside each other; more than this gains nothing on two cores.
AT_ONCE = 4
BUILT_WITH = ("apt-get", "cc", "make", "perl", "bison", "flex")


def ensure(home, major):
    """A server of its own with the database in it. Gives the server's description."""
    name = f"corpus-{major}"
    with home.lock(f"making-{name}"):
        server = servers.ensure(home, name, major, ["max_connections = 100"])
        mark = home.folder("servers") / name / "corpus.txt"
        if not mark.exists():
            scripts = _built(home, SCRIPTS_FOR[major])
            _fill(home, server, scripts)
            mark.write_text(scripts.name)
    return server


def _fill(home, server, scripts):
    _lend_libraries(home, server, scripts)
    _psql(home, server, scripts, "postgres", f"DROP DATABASE IF EXISTS {DATABASE}")
    _psql(home, server, scripts, "postgres", f"CREATE DATABASE {DATABASE} TEMPLATE template0")
    for setting in ("lc_messages TO 'C'", "lc_monetary TO 'C'", "bytea_output TO 'hex'"):
        _psql(home, server, scripts, "postgres", f"ALTER DATABASE {DATABASE} SET {setting}")
    schedule = (scripts / "parallel_schedule").read_text()
    for group in re.findall(r"^test: (.+)$", schedule, re.MULTILINE):
        with ThreadPoolExecutor(AT_ONCE) as workers:
            list(workers.map(lambda test: _run(home, server, scripts, test), group.split()))
    found = _psql(home, server, scripts, DATABASE, "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p')")
    if int(found) < 300:
        raise Trouble(f"the regression database of {server['name']} has only {found.strip()} tables")


def _run(home, server, scripts, test):
    script = scripts / "sql" / f"{test}.sql"
    if script.exists():
        _attempt(home, server, scripts, DATABASE, ["--file", script])
        _wait_for(home, server, scripts)


def _wait_for(home, server, scripts):
    """One version's scripts can crash another's server, which then comes back by itself."""
    for _ in range(300):
        if _attempt(home, server, scripts, "postgres", ["--command", "SELECT 1"])[0] == 0:
            return
        time.sleep(0.1)
    raise Trouble(f"server {server['name']} does not come back; its log is {server['log']}")


def _psql(home, server, scripts, database, statement):
    command = ["--tuples-only", "--no-align", "--command", statement]
    code, output = _attempt(home, server, scripts, database, command)
    if code != 0:
        raise Trouble(f"{statement}: {output}")
    return output


def _attempt(home, server, scripts, database, words):
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "LC_ALL": "C.UTF-8",
        "PGHOST": server["socket_dir"],
        "PGPORT": str(server["port"]),
        "PGUSER": "postgres",
        "PGTZ": "America/Los_Angeles",
        "PGDATESTYLE": "Postgres, MDY",
        "PGOPTIONS": "-c intervalstyle=postgres_verbose -c statement_timeout=60s",
        "PG_ABS_SRCDIR": str(scripts),
        "PG_ABS_BUILDDIR": str(_results(home, server)),
        "PG_LIBDIR": "$libdir",
        "PG_DLSUFFIX": ".so",
    }
    psql = [tools.ensure(home)["psql"], "--no-psqlrc", "--quiet", "--dbname", database]
    psql += ["--set", "HIDE_TABLEAM=on", "--set", "HIDE_TOAST_COMPRESSION=on", "--set", "FETCH_COUNT=0"]
    return home.account.run([*psql, *words], environment)


def _results(home, server):
    folder = home.folder("servers", server["name"], "build")
    results = home.folder("servers", server["name"], "build", "results")
    home.account.own(results)
    return folder


def _lend_libraries(home, server, scripts):
    """For the server whose version they were built for."""
    major = str(server["major"])
    if SCRIPTS_FOR[major] != major:
        return
    target = packages.installed(home, major) / "lib/postgresql"
    for library in scripts.glob("*.so"):
        copy = target / library.name
        if not copy.exists() or copy.read_bytes() != library.read_bytes():
            new = copy.with_suffix(f".{os.getpid()}")
            shutil.copyfile(library, new)
            new.chmod(0o755)
            new.rename(copy)


def _built(home, major):
    """A folder with the schedule, the scripts, their data and their libraries."""
    package, suite, version, digest = SOURCES[major]
    place = home.folder("corpus") / version
    with home.lock(f"corpus-source-{major}"):
        if not place.exists():
            _require(BUILT_WITH)
            with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
                scratch = Path(scratch)
                source = _unpacked(_download(scratch, package, suite, version, digest), scratch)
                regress = source / "src/test/regress"
                for library in _compiled(source, scratch / "build"):
                    shutil.copyfile(library, regress / library.name)
                for path in [regress, *regress.rglob("*")]:
                    path.chmod(0o755 if path.is_dir() else 0o644)
                regress.rename(place)
    return place


def _require(programs):
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        raise Unavailable(f"the regression database needs {', '.join(missing)}")


def _download(scratch, package, suite, version, digest):
    """Debian's archive, by the mirror that this machine uses; what it brings is checked against our hash."""
    mirror = _mirror()
    for folder in ("etc/apt.conf.d", "state/lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True)
    (scratch / "etc/sources.list").write_text(f"deb-src [trusted=yes] {mirror} {suite} main\n")
    configuration = scratch / "apt.conf"
    configuration.write_text(
        f'Dir::Etc "{scratch}/etc"; Dir::Etc::sourcelist "{scratch}/etc/sources.list"; Dir::Etc::sourceparts "none";\n'
        f'Dir::State "{scratch}/state"; Dir::Cache "{scratch}/cache"; Dir::State::status "/var/lib/dpkg/status";\n'
        'APT::Sandbox::User "root"; Acquire::Languages "none"; Acquire::Check-Valid-Until "false";\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(configuration)}
    must(["apt-get", "update", "-qq"], environment)
    code, output = run(["apt-get", "source", "-qq", "--download-only", "--tar-only", package], environment, cwd=scratch)
    archives = [path for path in scratch.glob("*.orig.tar.*") if path.suffix != ".asc"]
    if code != 0 or len(archives) != 1:
        raise Unavailable(f"Debian's {suite} brought no source of {package}:\n{output.strip()}")
    found = hashlib.sha256(archives[0].read_bytes()).hexdigest()
    if found != digest:
        raise Unavailable(f"{archives[0].name} is not the source of PostgreSQL {version} that we know: its SHA-256 is {found}")
    return archives[0]


def _mirror():
    lists = sorted([*Path("/etc/apt").glob("sources.list"), *Path("/etc/apt").glob("sources.list.d/*")])
    text = "\n".join(path.read_text() for path in lists if path.suffix in (".list", ".sources"))
    found = re.search(r"^(?:URIs:|deb ).*?(https?://\S+/debian)/?(?:\s|$)", text, re.MULTILINE)
    if found is None:
        raise Unavailable("the regression database is made from Debian's source packages, and this is no Debian")
    return found[1]


def _unpacked(archive, scratch):
    with tarfile.open(archive) as source:
        # The hash was checked: these are the members we know, all below one folder.
        source.extractall(scratch / "source")
    (folder,) = (scratch / "source").iterdir()
    return folder


def _compiled(source, build):
    build.mkdir()
    must([source / "configure", "-q", "--without-icu", "--without-readline", "--without-zlib", "CFLAGS=-O1"], cwd=build)
    must(["make", "-s", "-C", "src/backend", "generated-headers"], cwd=build)
    for library in LIBRARIES:
        folder, _, name = library.rpartition("/")
        must(["make", "-s", "-C", folder, name], cwd=build)
    return [build / library for library in LIBRARIES]

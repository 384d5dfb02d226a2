"""The contenders: Lifeboat's verbs and what people use in their place, each as a command that is measured.

Every contender has a folder of its own, its `place`, where `out` is what it makes. The commands do the work that a person
would call for; everything else (a new vault, an empty database) is prepared before and not measured.
"""

import json
import os
import re
import shlex
import shutil
import subprocess

from measure import measure, size_of

COPY_NAME = "bench_copy"


class Wrong(Exception):
    """A contender that did not do what is measured."""


class Contender:
    """One way to do the work of a case. What differs between contenders is overridden."""

    missing = None
    # Whether each run starts from nothing.
    fresh = True
    # The least that it can put out without cheating, in bytes.
    least = 0

    def __init__(self, name, bench, data, folder):
        self.name, self.bench, self.data = name, bench, data
        self.place = folder / re.sub("[^a-z0-9]+", "-", name.lower())

    @property
    def out(self):
        return self.place / "out"

    def environment(self):
        return {"HOME": str(self.place), "PATH": self.bench.path, "LC_ALL": "C.UTF-8"}

    def set_up(self):
        """Once, before the first run."""

    def prepare(self):
        """Before each run."""
        if self.fresh:
            shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(exist_ok=True)

    def command(self):
        raise NotImplementedError

    def size(self):
        """Bytes and number of objects that it has put out so far."""
        return size_of(self.out)

    def check(self, answer):
        """Raises Wrong if this is not the answer of the work."""

    def figures(self, answer, wall_s):
        """What else the answer tells, by name."""
        return {}

    def clean_up(self):
        shutil.rmtree(self.place, ignore_errors=True)

    def run(self, limits=None):
        """One run, measured, within the limits if there are any; with it what it put out. Raises Wrong if it did not do its work."""
        self.prepare()
        bytes_before, objects_before = self.size()
        answer, log = self.place / "answer", self.place / "log"
        run = measure(self.command(), self.environment(), self.bench.server, answer, log, limits)
        if run["code"] != 0:
            raise Wrong(f"it ended with {run['code']}: {last_words(log)} {last_words(answer)}")
        told = json.loads(answer.read_text()) if self.name.startswith("lifeboat") else None
        self.check(told)
        run |= self.figures(told, run["wall_s"])
        bytes_after, objects_after = self.size()
        run["output_bytes"], run["objects"] = bytes_after - bytes_before, objects_after - objects_before
        if run["output_bytes"] < self.least:
            raise Wrong(f"it put out {run['output_bytes']:,} bytes, which cannot be all")
        return run

    def do(self, command):
        """Something that is not measured."""
        done = subprocess.run(
            [str(word) for word in command], env=self.environment(), check=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        if done.returncode != 0:
            raise Wrong(f"`{command[0]}` before the run ended with {done.returncode}: {done.stdout[-500:]}")


def last_words(path):
    return path.read_text(errors="replace")[-500:].strip()


class Shell(Contender):
    """A line of shell, and the programs of Peers that it needs."""

    LINE = ""
    NEEDS = ()

    def __init__(self, name, bench, data, folder, line=None, needs=None):
        super().__init__(name, bench, data, folder)
        self.line = line or self.LINE
        self.missing = bench.peers.missing(*needs or self.NEEDS)

    def command(self):
        return shell(self.line, self.words())

    def words(self):
        peers = self.bench.peers
        programs = {name: getattr(peers, name) for name in ("pg_dump", "pg_restore", "psql", "zstd", "age", "restic", "pgcopydb")}
        return {**programs, "url": self.data.url, "out": self.out, "place": self.place}


def shell(line, words):
    """bash that fails when any part fails."""
    return ["bash", "-c", "set -eo pipefail; " + line.format(**{name: shlex.quote(str(word)) for name, word in words.items()})]


class RawCopy(Shell):
    """The floor: nothing but reading, by two sessions at once. Nobody could do it with less and have read the rows."""

    ONE = "{psql} {url} --no-psqlrc --quiet --set ON_ERROR_STOP=1 --file {place}/share-%d.sql > /dev/null"
    LINE = f"{ONE % 0} & {ONE % 1}; wait $!"
    NEEDS = ("psql",)

    def prepare(self):
        super().prepare()
        for number, statements in enumerate(self.data.shares()):
            (self.place / f"share-{number}.sql").write_text("\n".join(statements))

    def size(self):
        """Nothing is kept."""
        return 0, 0


class Lifeboat(Contender):
    """A verb of Lifeboat on a vault of its own."""

    def __init__(self, name, bench, data, folder, options=()):
        super().__init__(name, bench, data, folder)
        self.options = options

    @property
    def vault(self):
        return self.out

    def environment(self):
        return {
            **super().environment(),
            "LIFEBOAT_VAULT": str(self.vault),
            "LIFEBOAT_MASTER_KEY": self.bench.master_key,
            "LIFEBOAT_DATABASE_URL": self.data.url,
            "LIFEBOAT_PG_DUMP": str(self.bench.pg_dump_of_lifeboat),
        }

    def lifeboat(self, *words):
        return [self.bench.lifeboat, *words, "--quiet", "--json"]

    def backup(self, *options):
        return self.lifeboat("backup", "--jobs", "2", "--level", "1", *options)


class FirstBackup(Lifeboat):
    def prepare(self):
        super().prepare()
        self.do(self.lifeboat("init"))

    def command(self):
        return self.backup(*self.options)

    def check(self, answer):
        self.must_have_read_all(answer)

    def must_have_read_all(self, answer):
        # In binary a row may be half as long.
        least = 0.4 if "binary" in self.options else 0.9
        if answer["plaintext_bytes"] < self.data.plaintext * least:
            raise Wrong(f"only {answer['plaintext_bytes']:,} bytes of rows were read")


class NextBackup(FirstBackup):
    """A backup when there is one already; what it puts out is what the vault grows by."""

    fresh = False

    def set_up(self):
        super().prepare()
        self.do(self.command())

    def prepare(self):
        """The vault stays."""


class Bucket:
    """For contenders whose output is a bucket, made anew for each run."""

    has_bucket = False

    @property
    def bucket(self):
        return f"bench-{os.getpid()}-{self.place.parent.name}-{self.place.name}"[:63].rstrip("-")

    def environment(self):
        return {**super().environment(), **self.bench.store.environment}

    def make_bucket(self):
        self.remove_bucket()
        self.bench.store.do("make", self.bucket)
        self.has_bucket = True

    def remove_bucket(self):
        if self.has_bucket:
            self.bench.store.do("remove", self.bucket)
            self.has_bucket = False

    def size(self):
        return tuple(map(int, self.bench.store.do("measure", self.bucket).split())) if self.has_bucket else (0, 0)

    def clean_up(self):
        self.remove_bucket()
        super().clean_up()


class LifeboatToS3(Bucket, FirstBackup):
    @property
    def vault(self):
        return f"s3://{self.bucket}/vault"

    def prepare(self):
        self.make_bucket()
        super().prepare()


class ShellToS3(Bucket, Shell):
    UPLOAD = "{python} {s3} upload {bucket} dump"

    def words(self):
        python, s3 = self.bench.store.program
        return {**super().words(), "python": python, "s3": s3, "bucket": self.bucket, "recipient": self.bench.recipient}

    def prepare(self):
        self.make_bucket()
        super().prepare()


class Restic(Shell):
    """restic of an uncompressed dump, which it cuts by content."""

    fresh = False
    LINE = "rm -rf {place}/dump; {pg_dump} -Fd -j2 -Z0 -f {place}/dump {url}; {restic} backup --quiet {place}/dump"
    NEEDS = ("pg_dump", "restic")

    def environment(self):
        return {**super().environment(), "RESTIC_REPOSITORY": str(self.out), "RESTIC_PASSWORD": "bench"}

    def set_up(self):
        self.prepare()
        self.do([self.bench.peers.restic, "init", "--quiet"])
        self.do(self.command())


class Restoring:
    """For contenders that make a database: each run starts without it."""

    def prepare(self):
        super().prepare()
        self.bench.server.drop(COPY_NAME)

    def size(self):
        return self.bench.server.bytes_of(COPY_NAME), 1

    def clean_up(self):
        self.bench.server.drop(COPY_NAME)
        super().clean_up()


class LifeboatRestore(Restoring, NextBackup):
    def set_up(self):
        FirstBackup.prepare(self)
        self.do(self.backup())

    def command(self):
        return self.lifeboat("restore", "latest", "--into", COPY_NAME, "--jobs", "2", *self.options)

    def check(self, answer):
        if not self.options and not answer["proof"]["ok"]:
            raise Wrong("the restored database was not proven")

    def figures(self, answer, wall_s):
        proof_ms = sum(step["duration_ms"] for step in answer["steps"] if step["name"] == "proof")
        return {"unproven_s": wall_s - proof_ms / 1000}


class PgRestore(Restoring, Shell):
    fresh = False
    LINE = (
        f"{{psql}} {{postgres}} --no-psqlrc --quiet --command 'CREATE DATABASE {COPY_NAME} TEMPLATE template0'; "
        "{pg_restore} -j2 -d {target} {place}/dump"
    )
    NEEDS = ("pg_dump", "pg_restore", "psql")

    def words(self):
        return {**super().words(), "postgres": self.bench.server.url("postgres"), "target": self.bench.server.url(COPY_NAME)}

    def set_up(self):
        Shell.prepare(self)
        self.do(shell("{pg_dump} -Fd -j2 --compress=zstd:1 -f {place}/dump {url}", self.words()))

    def figures(self, answer, wall_s):
        """It proves nothing."""
        return {"unproven_s": wall_s}


class Verify(NextBackup):
    def set_up(self):
        FirstBackup.prepare(self)
        self.do(self.backup())

    def command(self):
        return self.lifeboat("verify", "latest", "--depth", "full")

    def check(self, answer):
        if not answer["ok"]:
            raise Wrong("the backup was not verified")

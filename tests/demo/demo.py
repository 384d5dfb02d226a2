#!/usr/bin/env python3
"""demo.py LIFEBOAT: a shop is backed up, verified, damaged in a copy, restored and proven equal.

Ends with 0 only if all of it went as promised. Everything happens in a folder and on a server of its own; both are
removed at the end.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BED = Path(__file__).resolve().parents[1] / "bed" / "bed"
SHOP = Path(__file__).resolve().parents[1] / "data" / "shop.sql"
SERVER = f"demo-{os.getpid()}"
COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ


class Broken(Exception):
    """Something is not as promised."""


def main():
    lifeboat = Path(sys.argv[1]).resolve()
    home = Path(bed("path-of", "home").strip())
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=home))
    begin = time.monotonic()
    try:
        Demo(lifeboat, folder).run()
    except Broken as broken:
        say(f"\n  {paint('31;1', '✘ not as promised:')} {broken}")
        return 1
    finally:
        bed("remove", SERVER)
        shutil.rmtree(folder, ignore_errors=True)
    say(f"  Everything as promised, in {seconds(time.monotonic() - begin)}.\n")
    return 0


class Demo:
    def __init__(self, lifeboat, folder):
        self.lifeboat = lifeboat
        self.folder = folder
        self.vault = folder / "vault"
        self.summary = []

    def run(self):
        title("Lifeboat: PostgreSQL backups that prove themselves")
        self.open_shop()
        self.create_vault()
        first = self.back_up()
        self.back_up_again(first)
        self.verify(first)
        self.damage_a_copy(first)
        self.restore(first)
        self.compare_without_lifeboat()
        self.print_summary()

    def open_shop(self):
        step("A server and a shop")
        with Watch() as watch:
            self.server = json.loads(bed("new", SERVER, "18"))
            self.tools = Path(bed("path-of", "psql").strip()).parent
        done("PostgreSQL 18", f"port {self.server['port']}, TLS", watch)
        with Watch() as watch:
            self.psql("postgres", "CREATE DATABASE shop")
            self.psql("shop", None, "--single-transaction", "--file", str(SHOP))
        size, tables = self.psql(
            "shop", "SELECT pg_database_size('shop'), count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).split("|")
        done("the shop is open", f"{tables} tables, {bytes_(int(size))} on disk", watch)

    def create_vault(self):
        step("A vault: a folder here, a bucket in earnest")
        key = self.folder / "master.key"
        login, address = f"postgres:{self.server['password']}", f"localhost:{self.server['port']}"
        self.environment = {
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LIFEBOAT_VAULT": str(self.vault),
            "LIFEBOAT_MASTER_KEY_FILE": str(key),
            "LIFEBOAT_DATABASE_URL": f"postgresql://{login}@{address}/shop?sslmode=verify-full",
            "PGSSLROOTCERT": self.server["ca"],
        }
        with Watch() as watch:
            self.call("init")
        promise(key.exists(), "init made no master key")
        done("sealed with a key of its own", "AES-256-GCM; without the key it is noise", watch)

    def back_up(self):
        step("A backup")
        with Watch() as watch:
            backup = self.call("backup", "--tier", "daily")
        promise(backup["rows"] > 50_000, f"the shop has more than 50,000 rows, the backup {backup['rows']}")
        read, stored = bytes_(backup["plaintext_bytes"]), bytes_(backup["stored_bytes"])
        done(backup["id"], f"{backup['tables']} tables, {backup['rows']:,} rows, {read} → {stored}", watch)
        self.note("Backup", watch, f"{read} at {bytes_(backup['plaintext_bytes'] / watch.elapsed)}/s")
        return backup

    def back_up_again(self, first):
        with Watch() as watch:
            second = self.call("backup", "--tier", "daily")
        share = second["new_bytes"] / first["stored_bytes"]
        promise(share < 0.01, f"nothing changed, yet {bytes_(second['new_bytes'])} were stored anew")
        done("once more, nothing changed", f"{bytes_(second['new_bytes'])} new: {share:.2%} of the first", watch)
        self.note("The same again", watch, f"{bytes_(second['new_bytes'])} new")

    def verify(self, backup):
        step("The proof that it can be read")
        with Watch() as watch:
            verdict = self.call("verify", backup["id"], "--depth", "full")
        promise(verdict["ok"] and not verdict["findings"], f"the vault is intact, yet: {verdict['findings']}")
        done("every piece decrypted, decompressed, hashed", "ok", watch)
        self.note("Verify in full", watch, "every byte read and hashed")

    def damage_a_copy(self, backup):
        step("Damage: one bit of one byte, in a copy of the vault")
        copy = self.folder / "damaged"
        shutil.copytree(self.vault, copy)
        pack = max(copy.glob("databases/*/pool/*/*"), key=lambda path: path.stat().st_size)
        position = pack.stat().st_size // 2
        flip(pack, position)
        done(f"flipped bit 0 of byte {position:,}", f"of pack {pack.name[:12]}…, {bytes_(pack.stat().st_size)}")
        with Watch() as watch:
            verdict = self.call("verify", backup["id"], "--depth", "full", "--vault", str(copy), expected=8)
        promise(not verdict["ok"] and verdict["findings"], "a damaged vault was called intact")
        told = " ".join(f"{finding['object']} {finding['problem']}" for finding in verdict["findings"])
        tables = [table for table in self.tables() if table in told]
        promise(tables, f"the findings name no table: {told}")
        done("found, exit code 8", f"rows lost of {', '.join(tables)}", watch)
        self.note("Damage found", watch, ", ".join(tables))

    def restore(self, backup):
        step("Into a new database, with the proof")
        with Watch() as watch:
            restored = self.call("restore", backup["id"], "--into", "shop_restored")
        proof = restored["proof"]
        promise(proof["ok"] and not proof["tables_different"], f"tables differ: {proof['tables_different']}")
        promise(
            restored["rows"] == backup["rows"], f"{backup['rows']} rows were backed up, {restored['rows']} restored"
        )
        for part in restored["steps"]:
            say(f"      {paint('2', part['name'])}  {paint('2', seconds(part['duration_ms'] / 1000))}")
        equal = f"{proof['tables_equal']} of {restored['tables']} tables equal by fingerprint"
        done("restored", f"{restored['rows']:,} rows; {equal}", watch)
        self.note("Restore and prove", watch, f"{proof['tables_equal']} tables equal, none different")

    def compare_without_lifeboat(self):
        step("And without Lifeboat's word for it: PostgreSQL compares the two itself")
        with Watch() as watch:
            for table in self.tables():
                one, two = (self.digest(database, table) for database in ("shop", "shop_restored"))
                promise(one == two, f"{table} differs: {one} and {two}")
        done("every row of every table", "the same MD5 on both sides", watch)

    def tables(self):
        return self.psql("shop", "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").split()

    def digest(self, database, table):
        return self.psql(
            database,
            f"SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY t::text COLLATE \"C\")) FROM {table} AS t",
        )

    def print_summary(self):
        title("What happened")
        for what, elapsed, how in self.summary:
            say(f"  {what:<20}{seconds(elapsed):>9}   {how}")
        say("")

    def note(self, what, watch, how):
        self.summary.append((what, watch.elapsed, how))

    def call(self, *arguments, expected=0):
        """Runs lifeboat, which must end with the expected exit code; gives its JSON."""
        say(f"  {paint('36', '$ lifeboat ' + ' '.join(self.shorten(word) for word in arguments))}")
        ended = subprocess.run(
            [self.lifeboat, "--json", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if ended.returncode != expected:
            raise Broken(f"exit code {ended.returncode} in place of {expected}\n{ended.stdout}{ended.stderr}")
        try:
            return json.loads(ended.stdout)
        except json.JSONDecodeError:
            raise Broken(f"no JSON on standard output:\n{ended.stdout}{ended.stderr}") from None

    def shorten(self, word):
        return word.replace(f"{self.folder}/", "")

    def psql(self, database, statement, *options):
        connection = f"host={self.server['socket_dir']} port={self.server['port']} user=postgres dbname={database}"
        command = [self.tools / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", connection]
        ended = subprocess.run([*command, *options], input=statement, capture_output=True, text=True)
        if ended.returncode != 0:
            raise Broken(f"psql: {ended.stderr}")
        return ended.stdout.strip()


class Watch:
    """Measures the block that it surrounds."""

    def __enter__(self):
        self.begin = time.monotonic()
        return self

    def __exit__(self, *_):
        self.elapsed = time.monotonic() - self.begin


def flip(path, position):
    path.chmod(0o600)
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def bed(*arguments):
    ended = subprocess.run([BED, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if ended.returncode != 0:
        sys.exit(1)
    return ended.stdout


def promise(kept, otherwise):
    if not kept:
        raise Broken(otherwise)


def say(line):
    print(line, flush=True)


def title(text):
    say(f"\n  {paint('1', text)}\n  {paint('1', '─' * len(text))}")


def step(text):
    say(f"\n  {paint('1', text)}")


def done(what, how, watch=None):
    took = paint("2", f"  {seconds(watch.elapsed)}") if watch else ""
    say(f"    {paint('32', '✔')} {what}: {how}{took}")


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOURS else text


def seconds(value):
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def bytes_(value):
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


if __name__ == "__main__":
    sys.exit(main())

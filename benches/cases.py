"""What is measured: the cases, and who takes part in each."""

from dataclasses import dataclass

from contenders import FirstBackup, LifeboatRestore, LifeboatToS3, NextBackup, PgRestore, RawCopy, Restic, Shell, ShellToS3, Verify

RAW = "raw COPY × 2"
TO_FOLDER = {
    "pg_dump -Fd -j2 zstd:1": ("{pg_dump} -Fd -j2 --compress=zstd:1 -f {out} {url}", ["pg_dump"]),
    "pg_dump -Fd -j2 gzip": ("{pg_dump} -Fd -j2 --compress=gzip -f {out} {url}", ["pg_dump"]),
    "pgcopydb dump db": ("{pgcopydb} dump db --source {url} --dir {out}", ["pgcopydb"]),
}
TO_S3 = {
    "pg_dump -Fc, upload": ("{pg_dump} -Fc {url} | " + ShellToS3.UPLOAD, ["pg_dump"]),
    "pg_dump -Fp, zstd, age, upload": (
        "{pg_dump} -Fp {url} | {zstd} -1 -q -c | {age} -r {recipient} | " + ShellToS3.UPLOAD,
        ["pg_dump", "zstd", "age"],
    ),
}


@dataclass
class Case:
    title: str
    # The name of the contender to whom the others are compared.
    peer: str
    contenders: list
    # What happens to the data before each round. Then there is no warm-up, for no round is like another.
    change: object = None


def folder(bench, data, place):
    binary = ["--copy-format", "binary"]
    backups = [FirstBackup(" ".join(["lifeboat backup", *more]), bench, data, place, more) for more in ([], binary)]
    dumps = [Shell(name, bench, data, place, line, needs) for name, (line, needs) in TO_FOLDER.items()]
    _must_make(data.plaintext / 50, [*backups, *dumps])
    return Case("First backup, to a folder", "pg_dump -Fd -j2 zstd:1", [*backups, *dumps, RawCopy(RAW, bench, data, place)])


def s3(bench, data, place):
    backup = LifeboatToS3("lifeboat backup", bench, data, place)
    dumps = [ShellToS3(name, bench, data, place, line, needs) for name, (line, needs) in TO_S3.items()]
    _must_make(data.plaintext / 50, [backup, *dumps])
    return Case("First backup, to S3", "pg_dump -Fc, upload", [backup, *dumps])


def unchanged(bench, data, place):
    return Case("Next backup, nothing changed", RAW, [*_next_backups(bench, data, place), RawCopy(RAW, bench, data, place)])


def appended(bench, data, place):
    return _changed("Next backup, after 1 % more rows", bench, data, place, data.append)


def updated(bench, data, place):
    return _changed("Next backup, after an update of 1 % of the rows, here and there", bench, data, place, data.update)


def restore(bench, data, place):
    contenders = [LifeboatRestore("lifeboat restore", bench, data, place)]
    if option := bench.peers.unproven_option():
        contenders.append(LifeboatRestore(f"lifeboat restore {option}", bench, data, place, [option]))
    contenders.append(PgRestore("pg_restore -j2", bench, data, place))
    _must_make(data.size / 2, contenders)
    return Case("Restore", "pg_restore -j2", contenders)


def verify(bench, data, place):
    return Case("Verification at full depth", "", [Verify("lifeboat verify", bench, data, place)])


def _changed(title, bench, data, place, change):
    restic = Restic("pg_dump -Fd -Z0, restic", bench, data, place)
    return Case(title, restic.name, [*_next_backups(bench, data, place), restic], change)


def _next_backups(bench, data, place):
    """By each way to read that this Lifeboat knows."""
    modes = [("--read", mode) for mode in bench.peers.reading_modes()] or [()]
    return [NextBackup(" ".join(["lifeboat backup", *options]), bench, data, place, options) for options in modes]


def _must_make(least, contenders):
    for contender in contenders:
        contender.least = least


# Which case is measured on which sets. Those that change the data come last.
CASES = {
    "folder": (folder, ("shop", "documents", "many", "ledger")),
    "s3": (s3, ("shop", "many")),
    "unchanged": (unchanged, ("shop", "many", "ledger")),
    "restore": (restore, ("shop", "many")),
    "verify": (verify, ("shop", "many")),
    "appended": (appended, ("shop",)),
    "updated": (updated, ("shop",)),
}

"""Lifeboat's jobs, as they are measured without a peer: at Lambda's sizes, and against the size of the database."""

import statistics
import subprocess

from contenders import FirstBackup, LifeboatRestore, NextBackup, Verify, Wrong
from workbench import tell

JOBS = {
    "first": ("first backup", FirstBackup, ()),
    "all": ("next backup, all is read", NextBackup, ("--read", "all")),
    "changed": ("next backup, what changed is read", NextBackup, ("--read", "changed")),
    "verify": ("verification at full depth", Verify, ()),
    "restore": ("restore with proof", LifeboatRestore, ()),
}


class Jobs:
    """All of them on one data set and one vault: the first backup is what the others go on with."""

    def __init__(self, bench, data):
        self.data = data
        self.contenders = {name: kind("lifeboat", bench, data, bench.folder, options) for name, (_, kind, options) in JOBS.items()}
        for contender in self.contenders.values():
            contender.place = bench.folder / data.name
        self.has_backup = False

    def measure(self, name, rounds, limits=None):
        """Medians of so many rounds, with every run; `failed` says what went wrong, if anything did."""
        contender, runs, failed = self.contenders[name], [], None
        try:
            if name != "first" and not self.has_backup:
                contender.set_up()
                self.has_backup = True
            for _ in range(rounds):
                runs.append(contender.run(limits))
        except (Wrong, subprocess.CalledProcessError, ValueError, KeyError) as error:
            failed = f"{type(error).__name__}: {error}"
        if name == "first":
            self.has_backup = not failed
        found = {"job": name, "failed": failed, "runs": runs}
        if not failed:
            found.update({measure: statistics.median(run[measure] for run in runs) for measure in runs[0] if measure != "code"})
            found["peak_mb"] = max(run["peak_mb"] for run in runs)
        return found

    def clean_up(self):
        for contender in self.contenders.values():
            contender.clean_up()


def tell_of(place, found):
    outcome = found["failed"] or f"{found['wall_s']:.2f} s, {found['peak_mb']:.0f} MB of memory"
    tell(f"{place}: {JOBS[found['job']][0]}: {outcome}")


def fails(found):
    """What a report says of those that failed."""
    return [f"{JOBS[one['job']][0]} failed: `{' '.join(one['failed'].split())[-400:]}`" for one in found if one["failed"]]

#!/usr/bin/env python3
"""sizes.py [OPTION]…: Lifeboat in as much memory, and as much processor time, as Lambda gives for it.

Each job runs within limits (limits.py) of the memory size and of memory / 1769 MB of a processor; the server stays outside. What
it takes for an empty database is its startup; the rest grows with the rows, and from that follows the largest database whose job
ends in a function's 15 minutes, with a minute to spare. Prints a table. Ends with 1 when a job failed, and with 2 where no limits
can be set: that takes root and control groups. A job that wants more memory than it has is no failure: it does not fit.

  sizes.py --quick                       does it work? Its numbers mean nothing
  sizes.py --memory 512,3008 --scale 0.5 other sizes, half the rows
"""

import sys

sys.dont_write_bytecode = True

from datasets import DataSet  # noqa: E402
from jobs import JOBS, Jobs, fails, tell_of  # noqa: E402
from limits import PERIOD_US, Limits, Unavailable  # noqa: E402
from report import number, quick_warning, table  # noqa: E402
from workbench import Workbench, list_of, parser, tell  # noqa: E402

MB_PER_PROCESSOR = 1769
LEAST_MB = 128
DEADLINE_S, MARGIN_S = 900, 60
HEADER = ("job", "memory MB", "processors", "startup s", "s", "MB of rows per s", "peak MB", "largest database, GB of rows")


def main():
    wanted = options()
    try:
        with Limits(1, 1 << 30):
            pass
    except Unavailable as why:
        print(f"sizes.py: {why}", file=sys.stderr)
        return 2
    with Sizes(wanted) as sizes:
        sizes.run()
        print(markdown(sizes.report()))
    return int(any(one["failed"] for one in sizes.results))


def options():
    known = parser(__doc__)
    known.add_argument("--memory", type=list_of(int), default=[512, 1024, 2048], help="in MB; 512,1024,2048")
    known.add_argument("--scale", type=float, help="of the shop; 1, which is 1.5 GB of rows")
    known.add_argument("--rounds", type=int, help="3")
    wanted = known.parse_args()
    if min(wanted.memory) < LEAST_MB:
        known.error(f"Lambda has no less than {LEAST_MB} MB")
    wanted.scale = wanted.scale or (0.01 if wanted.quick else 1.0)
    wanted.rounds = wanted.rounds or (1 if wanted.quick else 3)
    return wanted


class Sizes(Workbench):
    def run(self):
        self.on, self.results = self.machine(), []
        tell("making the shop")
        self.shop, empty = DataSet(self.server, "shop", self.wanted.scale), DataSet(self.server, "empty", 0)
        on_rows, on_nothing = Jobs(self, self.shop), Jobs(self, empty)
        for name in JOBS:
            for memory_mb in self.wanted.memory:
                self.results.append(self._measure(name, memory_mb, on_nothing, on_rows))
                self.keep(self.report(), markdown(self.report()))

    def _measure(self, name, memory_mb, on_nothing, on_rows):
        with Limits(memory_mb / MB_PER_PROCESSOR, memory_mb << 20) as limits:
            startup = on_nothing.measure(name, self.wanted.rounds, limits)
            found = startup if startup["failed"] else on_rows.measure(name, self.wanted.rounds, limits)
            fits = not limits.has_killed()
        tell_of(f"{memory_mb} MB", found if fits else {**found, "failed": "does not fit"})
        found.update(memory_mb=memory_mb, processors=memory_mb / MB_PER_PROCESSOR, fits=fits)
        if not fits:
            found["failed"] = None
        elif not found["failed"]:
            found.update(_speed(startup["wall_s"], found["wall_s"], self.shop.plaintext))
        return found

    def report(self):
        return {
            "machine": self.on,
            "quick": self.wanted.quick,
            "rounds": self.wanted.rounds,
            "plaintext_bytes": self.shop.plaintext,
            "period_us": PERIOD_US,
            "results": self.results,
        }


def _speed(startup_s, wall_s, plaintext):
    """None for what is too small to be told from the startup."""
    rate = plaintext / (wall_s - startup_s) if wall_s > startup_s else None
    largest = rate and rate * (DEADLINE_S - MARGIN_S - startup_s)
    return {"startup_s": startup_s, "bytes_per_s": rate, "largest_bytes": largest}


def markdown(report):
    lines = [
        f"{report['plaintext_bytes'] / 1e9:.2f} GB of rows of the shop, rounds: {report['rounds']}; "
        f"PostgreSQL {report['machine']['server']} beside it, without limits. "
        f"`largest database` is what ends in {DEADLINE_S // 60} minutes less {MARGIN_S} s."
    ]
    return "\n\n".join([*quick_warning(report), *lines, table(HEADER, map(_row, report["results"])), *fails(report["results"])]) + "\n"


def _row(found):
    first = [JOBS[found["job"]][0], found["memory_mb"], f"{found['processors']:.2f}"]
    if found["failed"] or not found["fits"]:
        return [*first, "**failed**" if found["failed"] else "does not fit"]
    return [
        *first,
        f"{found['startup_s']:.2f}",
        f"{found['wall_s']:.2f}",
        number(found["bytes_per_s"], 1e6, 0),
        f"{found['peak_mb']:.0f}",
        number(found["largest_bytes"], 1e9, 0),
    ]


if __name__ == "__main__":
    sys.exit(main())

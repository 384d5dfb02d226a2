#!/usr/bin/env python3
"""bench.py [OPTION]…: Lifeboat beside what people use in its place, on data sets and a server that are made for it.

Prints the report as Markdown, and tells on standard error what it is at. Ends with 1 when a contender failed, never because
of a time. A peer that is not installed is listed as such. `docs/performance.md` says how to read the report.

  bench.py --quick                           all of it, tiny: does it work? Its times mean nothing
  bench.py --json FILE --markdown FILE       all of it, in an hour or two on a quiet machine
  bench.py --sets shop --cases folder,s3     a part of it
"""

import argparse
import re
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True

import datasets  # noqa: E402
import goals  # noqa: E402
import report  # noqa: E402
from cases import CASES  # noqa: E402
from contenders import Wrong  # noqa: E402
from peers import Peers, Store  # noqa: E402
from workbench import Workbench, parser, tell  # noqa: E402

QUICK_SCALE = 0.01


def main():
    with Bench(options()) as bench:
        bench.run()
    print(report.markdown(bench.report()))
    return int(any(one["failed"] for result in bench.results for one in result["contenders"]))


def options():
    known = parser(__doc__)
    known.add_argument("--scale", type=float, help="of the data sets; 1 is some 1.5 GB each")
    known.add_argument("--rounds", type=int, help="that count; 3")
    known.add_argument("--sets", type=names(datasets.NAMES), default=datasets.NAMES, help=", ".join(datasets.NAMES))
    known.add_argument("--cases", type=names(CASES), default=tuple(CASES), help=", ".join(CASES))
    wanted = known.parse_args()
    wanted.scale = wanted.scale or (QUICK_SCALE if wanted.quick else 1.0)
    wanted.rounds = wanted.rounds or (1 if wanted.quick else 3)
    return wanted


def names(known):
    def parse(text):
        chosen = text.split(",")
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(known)}")
        return chosen

    return parse


class Bench(Workbench):
    """A run: what all contenders share."""

    def set_up(self):
        self.peers = Peers(self.lifeboat, self.server)
        self.store = Store() if "s3" in self.wanted.cases else None
        self.pg_dump_of_lifeboat = self.peers.pg_dump or self.pg_dump_of_lifeboat
        self.recipient = self._recipient() if self.peers.age else None
        self.versions = self.peers.versions()
        self.sets, self.results = [], []
        self.on = self.machine()

    def run(self):
        for name in self.wanted.sets:
            cases = [case for case in self.wanted.cases if name in CASES[case][1]]
            if cases:
                data = self._make(name)
                self.sets.append(described(data))
                for case in cases:
                    self.results.append(self._run_case(case, data))
                    self.keep(self.report(), report.markdown(self.report()))
                self.server.drop(name)

    def report(self):
        return {
            "machine": self.on,
            "versions": self.versions,
            "quick": self.wanted.quick,
            "scale": self.wanted.scale,
            "rounds": self.wanted.rounds,
            "warm_up": not self.wanted.quick,
            "sets": self.sets,
            "goals": goals.judge(self.results),
            "results": self.results,
        }

    def _make(self, name):
        tell(f"{name}: making it")
        data = datasets.DataSet(self.server, name, self.wanted.scale)
        tell(f"{name}: {len(data.tables):,} tables, {data.plaintext / 1e6:,.0f} MB of rows, made in {data.seconds:.0f} s")
        return data

    def _run_case(self, case_name, data):
        place = self.folder / f"{data.name}-{case_name}"
        place.mkdir()
        case = CASES[case_name][0](self, data, place)
        scores = [Score(contender) for contender in case.contenders]
        for score in scores:
            score.set_up()
        warm_up = 0 if self.wanted.quick or case.change else 1
        for turn in range(1 - warm_up, self.wanted.rounds + 1):
            if case.change:
                case.change(turn)
            for score in scores:
                score.run(counts=turn > 0)
        for score in scores:
            score.contender.clean_up()
        return {
            "case": case_name,
            "set": data.name,
            "title": case.title,
            "peer": case.peer,
            "plaintext_bytes": data.plaintext,
            "contenders": [score.summary(case_name) for score in scores],
        }

    def _recipient(self):
        done = subprocess.run(["age-keygen"], check=True, capture_output=True, text=True)
        return re.search(r"age1\w+", done.stdout)[0]


class Score:
    """A contender's runs in one case. One that failed does not run again."""

    def __init__(self, contender):
        self.contender = contender
        self.runs, self.failed, self.first_bytes = [], None, 0

    def set_up(self):
        if not self.contender.missing:
            with self:
                self.contender.set_up()
                self.first_bytes = self.contender.size()[0]

    def run(self, counts):
        if self.contender.missing or self.failed:
            return
        with self:
            run = self.contender.run()
            if counts:
                self.runs.append(run)
            tell(
                f"{self.contender.place.parent.name}: {self.contender.name}: "
                f"{run['wall_s']:.2f} s, {run['output_bytes'] / 1e6:,.1f} MB, {run['peak_mb']:.0f} MB of memory"
                + ("" if counts else " (warm-up)")
            )

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        """Keeps what went wrong for the report, and goes on with the others."""
        if kind is None or not issubclass(kind, (Wrong, subprocess.CalledProcessError, ValueError, KeyError)):
            return False
        self.failed = f"{error}" if kind is Wrong else f"{kind.__name__}: {error}"
        tell(f"{self.contender.name} failed: {self.failed}")
        return True

    def summary(self, case_name):
        return {
            "name": self.contender.name,
            "missing": self.contender.missing,
            "failed": self.failed,
            "first_bytes": self.first_bytes,
            "runs": self.runs,
            "median": self._median(case_name) if self.runs else None,
        }

    def _median(self, case_name):
        median = {name: statistics.median(run[name] for run in self.runs) for name in self.runs[0] if name != "code"}
        median["peak_mb"] = max(run["peak_mb"] for run in self.runs)
        if case_name in report.SHARES and self.first_bytes:
            median["new_share"] = median["output_bytes"] / self.first_bytes
        if case_name == "verify":
            median["plaintext_gb_s"] = self.contender.data.plaintext / 1e9 / median["wall_s"]
        return median


def described(data):
    return {
        "name": data.name,
        "tables": len(data.tables),
        "plaintext_bytes": data.plaintext,
        "database_bytes": data.size,
        "seconds": data.seconds,
    }


if __name__ == "__main__":
    sys.exit(main())

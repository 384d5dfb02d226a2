#!/usr/bin/env python3
"""scaling.py [OPTION]…: what Lifeboat's jobs cost as the database grows: in rows, and in tables.

Costs are fitted as fixed + per unit · n, by least squares of the relative error, and their growth between the two largest points is
judged: it may be n log n, not more. Prints tables. Ends with 1 when a job failed, never because of what was measured.

  scaling.py --quick                                 does it work? Its numbers mean nothing
  scaling.py --sizes 0.1,1 --tables 10,100           other points, in GB of rows (as COPY writes them) and in tables
"""

import math
import sys

sys.dont_write_bytecode = True

from datasets import DataSet  # noqa: E402
from goals import PEAK_MB  # noqa: E402
from jobs import JOBS, Jobs, fails, tell_of  # noqa: E402
from report import quick_warning, table  # noqa: E402
from workbench import Workbench, list_of, parser, tell  # noqa: E402

SCALE_PER_GB = 0.4
# Rows up to so many GB are made, more are these again.
MADE_GB, QUICK_MADE_GB = 1.0, 0.01
MEASURES = {"wall_s": "wall s", "client_cpu_s": "client CPU s", "server_cpu_s": "server CPU s"}
AS_ALLOWED, WITHIN_NOISE, FASTER, NOTHING = "no faster than n log n", "no faster, within the noise", "**faster than n log n**", "too small to tell"
LEAST_S = 0.05


def main():
    with Scaling(options()) as scaling:
        scaling.run()
        print(markdown(scaling.report()))
    return int(any(one["failed"] for one in scaling.results()))


def options():
    known = parser(__doc__)
    known.add_argument("--sizes", type=list_of(float), help="in GB of rows; 0.1,1,5,10")
    known.add_argument("--tables", type=list_of(int), help="10,1000,5000")
    known.add_argument("--rounds", type=int, help="3")
    wanted = known.parse_args()
    wanted.sizes = sorted(wanted.sizes or ([0.005, 0.01, 0.02] if wanted.quick else [0.1, 1, 5, 10]))
    wanted.tables = sorted(wanted.tables or ([10, 40, 80] if wanted.quick else [10, 1000, 5000]))
    wanted.rounds = wanted.rounds or (1 if wanted.quick else 3)
    return wanted


class Scaling(Workbench):
    def run(self):
        self.on = self.machine()
        self.series = [{"by": "rows", "unit": "GB", "points": []}, {"by": "tables", "unit": "tables", "points": []}]
        by_rows, by_tables = self.series
        data = None
        for gb in self.wanted.sizes:
            tell(f"making {gb:g} GB of rows")
            data = self._rows(data, gb)
            self._measure(by_rows, data, data.plaintext / 1e9, f"{gb:g} GB", is_last=gb == self.wanted.sizes[-1])
        for tables in self.wanted.tables:
            tell(f"making {tables:,} tables")
            self._measure(by_tables, DataSet(self.server, "tables", tables), tables, f"{tables:,} tables")

    def _rows(self, data, gb):
        """What there is, grown, if it is of the right make; else anew."""
        times = max(1, round(gb / (QUICK_MADE_GB if self.wanted.quick else MADE_GB)))
        scale = gb / times * SCALE_PER_GB
        if data is None or not math.isclose(scale, data.scale) or times < data.times:
            data = DataSet(self.server, "grown", scale)
        if times > data.times:
            data.grow(times)
        return data

    def _measure(self, series, data, count, name, is_last=False):
        jobs, results = Jobs(self, data), []
        series["points"].append({"n": count, "name": name, "results": results})
        for job in JOBS:
            if is_last and job == "restore":
                # Its source is of no more use, and the largest: both at a time would double the disk that is needed.
                self.server.drop(data.name)
            results.append(jobs.measure(job, self.wanted.rounds))
            tell_of(name, results[-1])
            self.keep(self.report(), markdown(self.report()))
        jobs.clean_up()

    def results(self):
        return [one for series in self.series for point in series["points"] for one in point["results"]]

    def report(self):
        series = [{**one, "fits": fits(one)} for one in self.series]
        return {"machine": self.on, "quick": self.wanted.quick, "rounds": self.wanted.rounds, "series": series}


def fits(series):
    """For each job and measure that was taken at two points at least."""
    found = []
    for job in JOBS:
        points = [
            (point["n"], one) for point in series["points"] for one in point["results"] if one["job"] == job and not one["failed"]
        ]
        if len(points) > 1:
            found += [{"job": job, "measure": measure, **_fit(points, measure), **_growth(points, measure, series)} for measure in MEASURES]
    return found


def _fit(points, measure):
    """y = fixed + slope · n, where a point counts by its relative error: else the largest alone would make the line."""
    rows = [(1 / max(one[measure], LEAST_S) ** 2, n, one[measure]) for n, one in points]
    weight = sum(w for w, _, _ in rows)
    mean_n, mean_y = sum(w * n for w, n, _ in rows) / weight, sum(w * y for w, _, y in rows) / weight
    per_unit = sum(w * (n - mean_n) * (y - mean_y) for w, n, y in rows) / sum(w * (n - mean_n) ** 2 for w, n, _ in rows)
    return {"fixed_s": mean_y - per_unit * mean_n, "per_unit_s": per_unit}


def _growth(points, measure, series):
    """The exponent by which the cost grows between the two largest points, and the one that n log n has there."""
    (n, less), (m, more) = points[-2:]
    unit = 1e9 if series["unit"] == "GB" else 1
    limit = 1 + math.log(math.log(m * unit) / math.log(n * unit)) / math.log(m / n)
    if min(less[measure], more[measure]) < LEAST_S:
        return {"growth": None, "limit": limit, "verdict": NOTHING}
    growth = math.log(more[measure] / less[measure]) / math.log(m / n)
    # The least that it may have been: the dearest run of the smaller point, the cheapest of the larger one.
    dearest, cheapest = max(run[measure] for run in less["runs"]), min(run[measure] for run in more["runs"])
    least = math.log(cheapest / dearest) / math.log(m / n)
    verdict = AS_ALLOWED if growth <= limit else WITHIN_NOISE if least <= limit else FASTER
    return {"growth": growth, "limit": limit, "verdict": verdict}


def markdown(report):
    parts = [*quick_warning(report), *(_series(one) for one in report["series"] if one["points"])]
    parts += fails([one for series in report["series"] for point in series["points"] for one in point["results"]])
    return "\n\n".join(parts) + "\n"


def _series(series):
    names = [point["name"] for point in series["points"]]
    header = ("job", "", *names, "fixed s", "s per GB" if series["unit"] == "GB" else "ms per table", "grows by n to the", "of at most", "")
    rows = [_row(series, job, measure) for job in JOBS for measure in [*MEASURES, "peak_mb"]]
    title = "### Cost by rows" if series["by"] == "rows" else "### Cost by tables, of a hundred rows each"
    return f"{title}\n\n{table(header, rows)}"


def _row(series, job, measure):
    row = [JOBS[job][0], MEASURES.get(measure, "peak MB")]
    for point in series["points"]:
        one = next((one for one in point["results"] if one["job"] == job), None)
        row.append("" if one is None else "**failed**" if one["failed"] else f"{one[measure]:.{0 if measure == 'peak_mb' else 2}f}")
    if measure == "peak_mb":
        return [*row, *[""] * 4, _peak(series, job)]
    fit = next((fit for fit in series["fits"] if (fit["job"], fit["measure"]) == (job, measure)), None)
    if fit:
        per_unit = fit["per_unit_s"] * (1 if series["unit"] == "GB" else 1e3)
        growth = "" if fit["growth"] is None else f"{fit['growth']:.2f}"
        row += [f"{fit['fixed_s']:.2f}", f"{per_unit:.2f}", growth, f"{fit['limit']:.2f}", fit["verdict"]]
    return row


def _peak(series, job):
    most = max((one["peak_mb"] for point in series["points"] for one in point["results"] if one["job"] == job and not one["failed"]), default=0)
    return f"within {PEAK_MB} MB" if most <= PEAK_MB else f"**more than {PEAK_MB} MB**"


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""plots.py [OPTION]…: draws docs/pictures/performance-*.svg from what bench.py, sizes.py, scaling.py and ranges.py kept with
`--json`. Same options as results.py; what no file is given for is not drawn.

  plots.py --bench target/bench.json --sizes target/sizes.json
"""

import math
import sys

sys.dont_write_bytecode = True

from jobs import JOBS  # noqa: E402
from ranges import CHANGES, size_of  # noqa: E402
from results import given, parser, picture_of  # noqa: E402
from svg import COLOURS, GREY, Axis, Panel, Picture  # noqa: E402

BOLD = ' font-weight="bold"'
# Readable over a line.
OVER = ' stroke="#fff" stroke-width="4" paint-order="stroke"'
LIFEBOAT, OTHERS, FLOOR = "#4477aa", "#bbb", "#eecc88"


def main():
    wanted = parser(__doc__).parse_args()
    for name, found in given(wanted).items():
        if name in PICTURES and (picture := PICTURES[name](found)):
            picture.write(wanted.docs / "pictures" / picture_of(name))


def first_backups(report):
    """Bars of the wall time, as a multiple of the peer's; a group for each data set."""
    groups = [(result["set"], result["peer"], _ratios(result)) for result in report["results"] if result["case"] == "folder"]
    groups = [group for group in groups if group[2]]
    if not groups:
        return None
    x = Axis([ratio for *_, bars in groups for _, ratio in bars], 270, 650)
    height = 60 + sum(34 + 20 * len(bars) for *_, bars in groups)
    picture = Picture(710, height, "First backup, to a folder")
    picture.text(16, 24, f"First backup, to a folder: wall time as a multiple of that of {groups[0][1]}", size=14)
    y = 50
    for name, _, bars in groups:
        picture.text(16, y + 12, name, more=BOLD)
        _bars(picture, x, y + 22, bars)
        y += 34 + 20 * len(bars)
    return picture


def _bars(picture, x, y, bars):
    end = y + 20 * len(bars)
    for number, (contender, ratio) in enumerate(bars):
        picture.text(x.begin - 8, y + 20 * number + 12, contender, "end")
        picture.bar(x.begin, y + 20 * number, x(ratio) - x.begin, 15, _colour(contender))
    picture.line([(x(1), y - 4), (x(1), end)], GREY, dashes="4 3")
    for number, (_, ratio) in enumerate(bars):
        picture.text(x(ratio) + 6, y + 20 * number + 12, f"{ratio:.2f}", colour=GREY, more=OVER)


def _ratios(result):
    walls = {one["name"]: one["median"]["wall_s"] for one in result["contenders"] if one["median"]}
    peer = walls.get(result["peer"])
    return [(name, wall / peer) for name, wall in walls.items()] if peer else []


def _colour(contender):
    return LIFEBOAT if contender.startswith("lifeboat") else FLOOR if contender.startswith("raw") else OTHERS


def growth(report):
    """What a GB, or a table, costs of wall time: dots where it was measured, a line for the fit."""
    drawn = [series for series in report["series"] if any(_unit_costs(series, job) for job in JOBS)]
    if not drawn:
        return None
    picture = Picture(230 + 330 * len(drawn) + 30, 360, "Cost by size")
    for number, series in enumerate(drawn):
        panel = _growth_panel(picture, series, 60 + 330 * number)
        if number == len(drawn) - 1:
            for colour, job in zip(COLOURS, JOBS):
                panel.legend(JOBS[job][0], colour)
    return picture


def _growth_panel(picture, series, left):
    costs = {job: _unit_costs(series, job) for job in JOBS}
    names = {point["n"]: point["name"].split()[0] for point in series["points"]}
    counts = list(names)
    x = Axis(counts, left, left + 240, is_log=True)
    y = Axis([cost for points in costs.values() for _, cost in points], 300, 50, is_log=True)
    by_rows = series["by"] == "rows"
    panel = Panel(picture, "seconds per GB of rows" if by_rows else "milliseconds per table", x, y)
    panel.rows(lambda value: f"{value:g}")
    panel.columns(counts, names.get, "GB of rows" if by_rows else "tables")
    for colour, (job, points) in zip(COLOURS, costs.items()):
        if line := _fitted(series, job, counts):
            panel.curve(line, colour)
        panel.dots(points, colour)
    return panel


def _unit_costs(series, job):
    ended = [(point["n"], one) for point in series["points"] for one in point["results"] if one["job"] == job and not one["failed"]]
    return [(n, one["wall_s"] / n * _per(series)) for n, one in ended]


def _fitted(series, job, counts):
    """The fit may be below nothing far away from its points; there it is left out."""
    fit = next((fit for fit in series["fits"] if (fit["job"], fit["measure"]) == (job, "wall_s")), None)
    if not fit:
        return []
    steps = [min(counts) * (max(counts) / min(counts)) ** (step / 40) for step in range(41)]
    line = [(n, (fit["fixed_s"] / n + fit["per_unit_s"]) * _per(series)) for n in steps]
    return [(n, cost) for n, cost in line if cost > 0]


def _per(series):
    return 1 if series["by"] == "rows" else 1e3


def new_bytes(report):
    """What is stored anew by the size of a piece: a line for what is computed, dots for what was measured."""
    computed = {change["change"]: [(one["range_blocks"], one["share"]) for one in change["computed"]] for change in report["changes"]}
    measured = {
        change["change"]: [(one["chunk_blocks"], one["new_share"]) for one in change["measured"] if not one["failed"]]
        for change in report["changes"]
    }
    places = [place for points in (*computed.values(), *measured.values()) for place in points]
    picture = Picture(700, 360, "New bytes by the size of a piece")
    x = Axis([blocks for blocks, _ in places], 60, 460, is_log=True)
    y = Axis([share for _, share in places], 300, 50, is_log=True)
    panel = Panel(picture, "stored anew, of the first backup; lines are computed, dots measured", x, y)
    panel.rows(lambda share: f"{share * 100:g} %")
    sizes = sorted({blocks for points in computed.values() for blocks, _ in points})
    panel.columns(sizes, size_of, "size of a piece in the table")
    for colour, change in zip(COLOURS, computed):
        panel.curve(computed[change], colour)
        panel.dots(measured[change], colour)
        panel.legend(CHANGES[change][0], colour)
    return picture


def rates(report):
    """Rows per second by memory size."""
    found = {
        job: [(one["memory_mb"], one["bytes_per_s"] / 1e6) for one in report["results"] if one["job"] == job and one.get("bytes_per_s")]
        for job in JOBS
    }
    places = [place for points in found.values() for place in points]
    if not places:
        return None
    picture = Picture(760, 360, "Rows per second by memory size")
    x = Axis([memory for memory, _ in places], 60, 460, is_log=True)
    y = Axis([rate for _, rate in places], 300, 50, is_log=True)
    panel = Panel(picture, "MB of rows per second", x, y)
    panel.rows("{:g}".format)
    panel.columns(sorted({memory for memory, _ in places}), "{:,}".format, "memory of the function, MB")
    for colour, (job, points) in zip(COLOURS, found.items()):
        panel.curve(points, colour)
        panel.dots(points, colour)
        panel.legend(JOBS[job][0], colour)
    return picture


PICTURES = {"bench": first_backups, "scaling": growth, "ranges": new_bytes, "sizes": rates}


if __name__ == "__main__":
    sys.exit(main())

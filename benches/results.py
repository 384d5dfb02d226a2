#!/usr/bin/env python3
"""results.py [OPTION]…: fills the measured parts of docs/performance.md from what bench.py, sizes.py, scaling.py and ranges.py
kept with `--json`, so that no number in it is typed.

A part stands between `<!-- results: NAME -->` and `<!-- /results: NAME -->`; NAME is goals, bench, sizes, scaling or ranges. A part
that no file is given for stays as it is. Several files of bench.py, for other data sets or cases, become one report; where two
have the same case on the same data set, the later one counts. All must be of one machine.

  results.py --bench target/bench.json --sizes target/sizes.json
  results.py --bench shop.json many.json --docs /tmp/docs
"""

import argparse
import json
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import goals  # noqa: E402
import ranges  # noqa: E402
import report  # noqa: E402
import scaling  # noqa: E402
import sizes  # noqa: E402
from bed import ROOT  # noqa: E402

# What each part shows, and the picture above it.
PARTS = {
    "goals": (report.summary, None),
    "bench": (report.details, "Wall time of the first backup to a folder beside pg_dump's, by data set"),
    "sizes": (sizes.markdown, "Rows per second by memory size"),
    "scaling": (scaling.markdown, "Cost per GB by size, and per table by their number"),
    "ranges": (ranges.markdown, "New bytes by the size of a piece"),
}


def main():
    wanted = parser(__doc__).parse_args()
    document = wanted.docs / "performance.md"
    text = document.read_text()
    for name, found in given(wanted).items():
        text = filled(text, name, found)
    document.write_text(text)


def parser(description):
    """The options of what is made from the measurements' files."""
    known = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--bench", type=loaded, nargs="+", metavar="FILE", default=[])
    for name in ("sizes", "scaling", "ranges"):
        known.add_argument(f"--{name}", type=loaded, metavar="FILE")
    known.add_argument("--docs", type=Path, default=ROOT / "docs", help="the folder of performance.md and pictures/; docs")
    return known


def loaded(path):
    return json.loads(Path(path).read_text())


def given(wanted):
    """What was measured, by part."""
    bench = merged(wanted.bench) if wanted.bench else None
    found = {"goals": bench, "bench": bench, "sizes": wanted.sizes, "scaling": wanted.scaling, "ranges": wanted.ranges}
    found = {name: one for name, one in found.items() if one}
    must_agree(report.machine, found.values())
    return found


def merged(reports):
    must_agree(report.circumstances, reports)
    sets = {one["name"]: one for each in reports for one in each["sets"]}
    results = {(one["case"], one["set"]): one for each in reports for one in each["results"]}
    results = list(results.values())
    return {**reports[0], "sets": list(sets.values()), "goals": goals.judge(results), "results": results}


def must_agree(tell, reports):
    if len(told := sorted({tell(one) for one in reports})) > 1:
        sys.exit("results.py: these were not measured alike:\n\n" + "\n\n".join(told))


def filled(text, name, found):
    show, picture = PARTS[name]
    shown = show(found).strip()
    if picture:
        shown = f"![{picture}](pictures/{picture_of(name)})\n\n{shown}"
    begin, end = f"<!-- results: {name} -->", f"<!-- /results: {name} -->"
    text, times = re.subn(f"{begin}.*?{end}", lambda _: f"{begin}\n\n{shown}\n\n{end}", text, flags=re.DOTALL)
    if times != 1:
        sys.exit(f"results.py: {begin} … {end} must stand in the document once")
    return text


def picture_of(name):
    return f"performance-{name}.svg"


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""ranges.py [OPTION]…: how much a backup stores anew after a change, by the size of the pieces that it cuts tables into.

A piece in which a row changed is stored anew as a whole. Were pieces so many heap blocks each, that could be computed from the blocks
that a change has touched: it is the share of the rows, in bytes, that lie in such pieces. That is done for some sizes. And it is measured
how much a vault grows by, as a share of the first backup. Lifeboat reads ranges of heap blocks and stores them in chunks that the
rows cut, several to a range: both sizes are told, the latter as what a chunk takes of the heap on average.

Prints tables. Ends with 1 when a backup failed.

  ranges.py --quick                          does it work? Its numbers mean nothing
  ranges.py --also 64=PATH --also 1024=PATH  measured with these programs too, built with such a RANGE_BLOCKS (plan/read.rs)
"""

import copy
import json
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True

from bed import ROOT  # noqa: E402
from datasets import SHOP_TABLES, DataSet  # noqa: E402
from jobs import Jobs, fails, tell_of  # noqa: E402
from report import number, quick_warning, table  # noqa: E402
from workbench import Workbench, list_of, parser, tell  # noqa: E402

READ_PLAN = ROOT / "shared" / "src" / "plan" / "read.rs"
BLOCK_BYTES = 8192
# Rows far apart come last: what they leave behind is scattered over all tables.
CHANGES = {
    "appended": ("1 % more rows", lambda shop: shop.append(1)),
    "newest": ("1 % changed, the newest", lambda shop: shop.update(2, "(id > 0.99 * :newest)::int")),
    "random": ("1 % changed, here and there", lambda shop: shop.update(3)),
}
ROWS_BY_BLOCK = """
SELECT (ctid::text::point)[0]::bigint, sum(pg_column_size(t)), sum(hash_record_extended(t, 0)::numeric) FROM ONLY {} t GROUP BY 1
"""
MEASURED = ("change", "range", "chunk", "first backup, MB", "new MB", "share", "new objects", "s", "client CPU s", "server CPU s")


def main():
    with Ranges(options()) as ranges:
        ranges.run()
        print(markdown(ranges.report()))
    return int(any(one["failed"] for one in all_measured(ranges.changes)))


def options():
    known = parser(__doc__)
    known.add_argument("--range-blocks", type=list_of(int), default=[1, 4, 16, 64, 256, 1024], help="to compute; 1,4,16,64,256,1024")
    known.add_argument("--also", type=sized_program, action="append", default=[], metavar="BLOCKS=PROGRAM")
    known.add_argument("--scale", type=float, help="of the shop; 1, which is 1.5 GB of rows")
    wanted = known.parse_args()
    wanted.scale = wanted.scale or (0.01 if wanted.quick else 1.0)
    return wanted


def sized_program(text):
    blocks, program = text.split("=", 1)
    return int(blocks), Path(program).resolve(strict=True)


class Ranges(Workbench):
    def run(self):
        self.on, self.changes = self.machine(), []
        tell("making the shop")
        self.shop = DataSet(self.server, "shop", self.wanted.scale)
        jobs = {blocks: self._jobs(blocks, program) for blocks, program in [(own_range_blocks(), self.lifeboat), *self.wanted.also]}
        before = self._rows_by_block()
        for name, (title, change) in CHANGES.items():
            first = {blocks: one.measure("first", 1) for blocks, one in jobs.items()}
            tell(f"{title}: changing the rows")
            change(self.shop)
            after = self._rows_by_block()
            self.changes.append({
                "change": name,
                "computed": [{"range_blocks": n, "share": new_share(before, after, n)} for n in self.wanted.range_blocks],
                "measured": [self._measure(title, blocks, one, first[blocks]) for blocks, one in jobs.items()],
            })
            before = after
            self.keep(self.report(), markdown(self.report()))

    def _jobs(self, blocks, program):
        bench = copy.copy(self)
        bench.lifeboat, bench.folder = program, self.folder / str(blocks)
        bench.folder.mkdir()
        return Jobs(bench, self.shop)

    def _rows_by_block(self):
        """By table and block: the size of its rows, and what changes when one of them does."""
        found = {}
        for name in SHOP_TABLES:
            for line in self.server.ask(ROWS_BY_BLOCK.format(name), "shop").splitlines():
                block, size, mark = line.split("|")
                found[name, int(block)] = int(size), mark
        return found

    def _measure(self, title, blocks, jobs, first):
        found = first if first["failed"] else jobs.measure("changed", 1)
        tell_of(f"{title}, ranges of {blocks} blocks", found)
        found["range_blocks"] = blocks
        if not found["failed"]:
            found.update(first_bytes=first["output_bytes"], new_share=found["output_bytes"] / first["output_bytes"])
            found["chunk_blocks"] = round(self._heap_blocks() / chunks_of_newest(jobs.contenders["changed"].place), 1)
        return found

    def _heap_blocks(self):
        return sum(int(self.server.ask(f"SELECT pg_relation_size('{name}') / {BLOCK_BYTES}", "shop")) for name in SHOP_TABLES)

    def report(self):
        return {"machine": self.on, "quick": self.wanted.quick, "plaintext_bytes": self.shop.plaintext, "changes": self.changes}


def own_range_blocks():
    """Of a program that was built from this checkout."""
    return int(re.search(r"RANGE_BLOCKS: u64 = (\d+)", READ_PLAN.read_text())[1])


def chunks_of_newest(vault):
    """Of the newest backup: its manifest is JSON, with a line behind it."""
    newest = max(vault.rglob("manifest.json"), key=lambda path: path.parent.name)
    return json.loads(newest.read_text().rstrip("\n").rsplit("\n", 1)[0])["content"]["totals"]["chunks"]


def new_share(before, after, range_blocks):
    """The share of the rows, by size, that lie in ranges where something is not as before."""
    touched = {place for place in before.keys() | after.keys() if before.get(place) != after.get(place)}
    ranges = {(name, block // range_blocks) for name, block in touched}
    new = sum(size for (name, block), (size, _) in after.items() if (name, block // range_blocks) in ranges)
    return new / sum(size for size, _ in before.values())


def all_measured(changes):
    return [one for change in changes for one in change["measured"]]


def markdown(report):
    about = f"{report['plaintext_bytes'] / 1e9:.2f} GB of rows of the shop. Computed, the share of the rows that is stored anew:"
    rows = [_measured_row(change, one) for change in report["changes"] for one in change["measured"]]
    parts = [*quick_warning(report), about, _computed(report["changes"]), "Measured, when what changed is read:", table(MEASURED, rows)]
    return "\n\n".join([*parts, *fails(all_measured(report["changes"]))]) + "\n"


def _computed(changes):
    sizes = [one["range_blocks"] for one in changes[0]["computed"]]
    rows = [[CHANGES[change["change"]][0], *(percent(one["share"]) for one in change["computed"])] for change in changes]
    return table(("change, by size of a piece", *map(size_of, sizes)), rows)


def _measured_row(change, one):
    first = [CHANGES[change["change"]][0], size_of(one["range_blocks"])]
    if one["failed"]:
        return [*first, "**failed**"]
    return [
        *first,
        size_of(one["chunk_blocks"]),
        number(one["first_bytes"], 1e6, 1),
        number(one["output_bytes"], 1e6, 1),
        percent(one["new_share"]),
        f"{one['objects']:,}",
        *(f"{one[name]:.2f}" for name in ("wall_s", "client_cpu_s", "server_cpu_s")),
    ]


def size_of(blocks):
    """As they lie in the table."""
    kib = round(blocks * BLOCK_BYTES / 1024)
    return f"{kib} KiB" if kib < 1024 else f"{kib / 1024:g} MiB"


def percent(share):
    return f"{share:.1%}".replace("%", " %")


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""flame.py [OPTION]…: where the processor time of a first backup goes, of Lifeboat and of the server beside it, as a flame graph.

Looks at all processes of the machine some hundred times a second (Linux' `perf`, as root) while a backup of the shop is made. Each box
is a function, as wide as its share of the samples, on top of who called it; at the bottom are the threads. What only carries others
(runtimes, thread starts) is left out.

  flame.py --picture docs/pictures/performance-flame.svg
"""

import collections
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True

from contenders import FirstBackup  # noqa: E402
from datasets import DataSet  # noqa: E402
from svg import Picture  # noqa: E402
from workbench import Workbench, parser, tell  # noqa: E402

SAMPLES_PER_S = 199
# How much of a stack is kept with each sample, to unwind it later.
STACK_BYTES = 32768
THREADS = {
    "postgres": "PostgreSQL",
    "lifeboat-reader": "readers",
    "lifeboat-sealer": "sealers",
    "tokio-rt-worker": "packs, requests",
    "lifeboat": "coordinator",
    "pg_dump": "pg_dump",
}
# Whose frames say nothing but that something runs.
CARRIERS = re.compile(
    r"^(\[unknown\]|_?start(_thread)?$|clone3?$|__clone|__libc_start|main$|_?_?GI_|std::|core::|alloc::|<?tokio::|<core|<std|<alloc|"
    r"<tokio|<futures|futures_|<futures_|do_syscall_64|entry_SYSCALL|x64_sys|__x64_sys|ret_from_fork|asm_|__rust_|lifeboat::main|"
    r"PostmasterMain|ServerLoop|BackendMain|BackendStartup|postmaster_child_launch|.*::\{\{closure\}\}$)"
)
KINDS = (
    ("zstd", "#ddcc77", re.compile(r"^(ZSTD|HUF|FSE|HIST)")),
    ("hashes and encryption", "#cc6677", re.compile(r"sha256|sha2::|aes|gcm|xxh|EVP_|Fingerprint|CRYPTO_|ossl_", re.I)),
    ("kernel", "#bbbbbb", None),
    ("PostgreSQL", "#88ccee", None),
    ("Lifeboat and its libraries", "#44aa99", None),
)
WIDTH, ROW, LEFT, TOP = 1000, 17, 10, 62
LEAST_PX, LETTER_PX = 1.0, 6.4
# Higher up there are only the kernel's ways to the network.
MOST_ROWS = 20


def main():
    if not shutil.which("perf"):
        sys.exit("flame.py: it wants Linux' perf (Debian: apt-get install linux-perf)")
    known = parser(__doc__)
    known.add_argument("--picture", type=Path, help="the file to draw into, as SVG; without it only the shares are printed")
    wanted = known.parse_args()
    with Flame(wanted) as flame:
        stacks = flame.stacks()
    total = sum(stacks.values())
    if not total:
        sys.exit("flame.py: perf saw nothing of a backup")
    for name, samples in shares(stacks).most_common():
        print(f"{samples / total:6.1%}  {name}")
    if wanted.picture:
        draw(stacks).write(wanted.picture)


class Flame(Workbench):
    def stacks(self):
        """How often each stack was seen: names of functions from the thread up, with their kind."""
        tell("making rows")
        data = DataSet(self.server, "shop", 0.01 if self.wanted.quick else 0.3)
        backup = FirstBackup("lifeboat", self, data, self.folder, ())
        backup.run()
        backup.prepare()
        found = self.folder / "perf.data"
        record = ["perf", "record", "--quiet", "-a", "-e", "cpu-clock", "-F", str(SAMPLES_PER_S), "--call-graph", f"dwarf,{STACK_BYTES}"]
        command = [*record, "-o", found, "--", *backup.command()]
        tell("watching a backup")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([str(word) for word in command], env=backup.environment(), check=True, **quiet)
        tell("unwinding")
        script = ["perf", "script", "-i", str(found), "--no-inline", "-F", "comm,ip,sym,dso"]
        told = subprocess.run(script, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace")
        return fold(told.stdout)


def fold(script):
    stacks = collections.Counter()
    for sample in re.split(r"\n\s*\n", script):
        thread, *frames = sample.strip("\n").split("\n")
        label = THREADS.get(thread.strip())
        if not label or not frames:
            continue
        known = [frame for line in reversed(frames) if (frame := frame_of(line, label))]
        leaf = known[-1] if known else None
        stack = [frame for frame in known if frame is leaf or not CARRIERS.search(frame[0])]
        stacks[((label, "PostgreSQL" if label == "PostgreSQL" else KINDS[-1][0]), *without_repeats(stack))] += 1
    return stacks


def frame_of(line, label):
    """`  ip symbol+offset (file)`, as a name and its kind."""
    found = re.match(r"\s*[0-9a-f]+ (.+?)(?:\+0x[0-9a-f]+)? \((.*)\)$", line)
    if not found:
        return None
    name, file = found[1], found[2]
    name = re.sub(r"::h[0-9a-f]{16}$", "", name)
    return name, kind_of(name, file, label)


def kind_of(name, file, label):
    for kind, _, pattern in KINDS:
        if pattern and pattern.search(name):
            return kind
    if "kernel" in file or file.startswith("["):
        return "kernel"
    return "PostgreSQL" if label == "PostgreSQL" else KINDS[-1][0]


def without_repeats(stack):
    return [frame for at, frame in enumerate(stack) if at == 0 or frame[0] != stack[at - 1][0]]


def shares(stacks):
    """Samples by the thread and the kind of the function that ran."""
    found = collections.Counter()
    for stack, samples in stacks.items():
        found[f"{stack[0][0]}: {stack[-1][1]}"] += samples
    return found


def draw(stacks):
    total, depth = sum(stacks.values()), max(map(len, stacks))
    shown = min(depth, MOST_ROWS)
    height = TOP + shown * ROW + 10
    picture = Picture(WIDTH + 2 * LEFT, height, "Where the processor time of a first backup goes")
    picture.text(LEFT, 20, "Where the processor time of a first backup of the shop goes: Lifeboat and PostgreSQL on the same machine", size=15)
    at = LEFT
    for name, colour, _ in KINDS:
        picture.bar(at, 32, 12, 12, colour)
        picture.text(at + 17, 43, name)
        at += 40 + len(name) * 7

    def level(stacks, left, row):
        if row >= shown:
            return
        children = collections.defaultdict(collections.Counter)
        for stack, samples in stacks.items():
            if stack:
                children[stack[0]][stack[1:]] += samples
        for (name, kind), inside in sorted(children.items(), key=lambda child: -sum(child[1].values())):
            samples = sum(inside.values())
            width = samples / total * WIDTH
            if width < LEAST_PX:
                continue
            y = height - 10 - (row + 1) * ROW
            colour = next(colour for known, colour, _ in KINDS if known == kind)
            picture.bar(left, y, width - 0.4, ROW - 1, colour, about=f"{name}: {samples / total:.1%}")
            if letters := int((width - 4) / LETTER_PX):
                short = short_name(name)
                short = short if len(short) <= letters else short[: letters - 1] + "…" if letters > 3 else ""
                picture.text(left + 2, y + ROW - 5, short, size=11)
            level(inside, left, row + 1)
            left += width

    level(stacks, LEFT, 0)
    return picture


def short_name(name):
    """Without the modules and types around it: `lifeboat::postgres::copy_out::Cutter::push` is `Cutter::push`."""
    name = name.replace("::{{closure}}", "")
    while (bare := re.sub(r"<[^<>]*>", "", name)) != name:
        name = bare
    return "::".join(part for part in name.split("::")[-2:] if part)


if __name__ == "__main__":
    sys.exit(main())

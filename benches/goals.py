"""What we want to reach, in one table. Times are medians; what is compared with a peer is compared on the same data set."""

from collections import namedtuple

# `limit` is the most that is good, but for speeds, where it is the least. With `against` it is a multiple of that contender's.
Goal = namedtuple("Goal", "text case sets contender measure limit against", defaults=[None])

BIG = ("shop", "documents", "ledger")
EVERY = (*BIG, "many")
AGAIN = ("shop", "many", "ledger")
DUMP, RAW = "pg_dump -Fd -j2 zstd:1", "raw COPY × 2"
FIRST, FIRST_BINARY = "lifeboat backup", "lifeboat backup --copy-format binary"
READS_ALL, READS_CHANGED = "lifeboat backup --read all", "lifeboat backup --read changed"

GOALS = [
    Goal("First backup to a folder", "folder", BIG, FIRST, "wall_s", 1.0, DUMP),
    Goal("First backup to a folder", "folder", ("many",), FIRST, "wall_s", 0.7, DUMP),
    Goal("Stored by it", "folder", EVERY, FIRST, "output_bytes", 1.05, DUMP),
    Goal("Asked of the server by it", "folder", EVERY, FIRST, "server_cpu_s", 1.0, DUMP),
    Goal("First backup to a folder, in binary", "folder", BIG, FIRST_BINARY, "wall_s", 0.85, DUMP),
    Goal("Asked of the server by it, in binary", "folder", BIG, FIRST_BINARY, "server_cpu_s", 0.8, DUMP),
    Goal("First backup to S3", "s3", ("shop", "many"), FIRST, "wall_s", 0.25, "pg_dump -Fc, upload"),
    Goal("Nothing changed, all is read", "unchanged", AGAIN, READS_ALL, "wall_s", 1.0, RAW),
    Goal("Nothing changed, all is read", "unchanged", AGAIN, READS_ALL, "new_share", 0.01),
    Goal("Nothing changed, what changed is read", "unchanged", AGAIN, READS_CHANGED, "wall_s", 0.25, RAW),
    Goal("Nothing changed, what changed is read", "unchanged", AGAIN, READS_CHANGED, "new_share", 0.01),
    Goal("1 % more rows, all is read", "appended", ("shop",), READS_ALL, "new_share", 0.03),
    Goal("1 % more rows, what changed is read", "appended", ("shop",), READS_CHANGED, "new_share", 0.03),
    Goal("Restore with proof", "restore", ("shop", "many"), "lifeboat restore", "wall_s", 1.1, "pg_restore -j2"),
    Goal("Restore, less the time of the proof", "restore", ("shop", "many"), "lifeboat restore", "unproven_s", 0.9, "pg_restore -j2"),
    Goal("Verification at full depth", "verify", ("shop",), "lifeboat verify", "plaintext_gb_s", 1.0),
]
PEAK_MB = 256
AT_LEAST = ("plaintext_gb_s",)


def judge(results):
    """For each goal and data set: what was measured, and whether it is reached; None where nothing was measured."""
    verdicts = [_judge(goal, name, results) for goal in GOALS for name in goal.sets]
    return [verdict for verdict in verdicts if verdict] + [_judge_memory(results)]


def _judge(goal, data_set, results):
    result = next((result for result in results if (result["case"], result["set"]) == (goal.case, data_set)), None)
    if result is None:
        return None
    value = _value(result, goal.contender, goal.measure)
    if goal.against and value is not None:
        peer = _value(result, goal.against, goal.measure)
        value = value / peer if peer else None
    unit = f"× {goal.against}" if goal.against else {"new_share": "of the first backup", "plaintext_gb_s": "GB/s"}[goal.measure]
    return _verdict(f"{goal.text}: {data_set}", goal.measure, goal.limit, value, unit)


def _judge_memory(results):
    peaks = [
        run["peak_mb"]
        for result in results for contender in result["contenders"] if contender["name"].startswith("lifeboat")
        for run in contender["runs"]
    ]
    return _verdict("Memory of every Lifeboat command", "peak_mb", PEAK_MB, max(peaks, default=None), "MB")


def _verdict(text, measure, limit, value, unit):
    reached = None if value is None else value >= limit if measure in AT_LEAST else value <= limit
    return {"goal": text, "measure": measure, "limit": limit, "unit": unit, "measured": value, "reached": reached}


def _value(result, contender, measure):
    """Of a contender that was measured. Before Lifeboat knew `--read`, it always read all."""
    names = {contender, contender.removesuffix(" --read all")}
    found = [one["median"].get(measure) for one in result["contenders"] if one["name"] in names and one["median"]]
    return found[0] if found else None

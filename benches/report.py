"""The results as Markdown."""

from goals import AT_LEAST

HEADER = "| contender | wall s | ratio | client CPU s | … per GB | server CPU s | peak MB | output MB | objects |"
RULE = "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
QUICK = "**A quick run shows that everything works. Its times and shares are those of starting up, and mean nothing.**"
SHARES = ("unchanged", "appended", "updated")
MEASURES = {"wall_s": "wall", "output_bytes": "output", "server_cpu_s": "server CPU", "new_share": "new bytes",
            "plaintext_gb_s": "speed", "unproven_s": "wall", "peak_mb": "peak memory"}


def markdown(report):
    return f"{summary(report)}\n\n{details(report)}\n"


def summary(report):
    return "\n\n".join([circumstances(report), _goals(report["goals"])])


def details(report):
    return "\n\n".join([_sets(report["sets"]), *(_case(result) for result in report["results"])])


def machine(report):
    """In a line, for every measurement's report."""
    on = report["machine"]
    return f"{on['processors']} processors ({on['processor']}), {on['memory_gb']:.0f} GB of memory, PostgreSQL {on['server']}"


def table(header, rows):
    """The first column to the left, the others to the right. A row may be shorter than the header."""
    lines = [list(header), ["---", *["--:"] * (len(header) - 1)]]
    lines += [[str(cell) for cell in row] + [""] * (len(header) - len(row)) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value, unit, digits):
    return "" if value is None else f"{value / unit:,.{digits}f}"


def quick_warning(report):
    return [QUICK] if report["quick"] else []


def circumstances(report):
    """On what it was measured, and how."""
    lines = [
        f"{machine(report)}, scale {report['scale']:g}, rounds: {report['rounds']}"
        + (", after one that does not count." if report["warm_up"] else ", no warm-up."),
        " · ".join(report["versions"].values()),
    ]
    return "\n\n".join([*lines, *quick_warning(report)])


def _sets(sets):
    return table(
        ("data set", "rows as COPY writes them, MB", "database MB", "tables", "made in s"),
        [
            (one["name"], number(one["plaintext_bytes"], 1e6, 1), number(one["database_bytes"], 1e6, 1),
             f"{one['tables']:,}", f"{one['seconds']:.0f}")
            for one in sets
        ],
    )


def _goals(goals):
    lines = ["| goal | measure | limit | measured | |", "|---|---|--:|--:|---|"]
    for goal in goals:
        sign = "≥" if goal["measure"] in AT_LEAST else "≤"
        outcome = {True: "reached", False: "**missed**", None: "not measured"}[goal["reached"]]
        measured = "" if goal["measured"] is None else _number(goal, goal["measured"])
        limit = f"{sign} {_number(goal, goal['limit'])} {goal['unit']}"
        lines.append(f"| {goal['goal']} | {MEASURES[goal['measure']]} | {limit} | {measured} | {outcome} |")
    count = {outcome: sum(goal["reached"] is outcome for goal in goals) for outcome in (True, False)}
    return f"Of {len(goals)} goals {count[True]} are reached and {count[False]} missed.\n\n" + "\n".join(lines)


def _number(goal, value):
    if goal["measure"] == "new_share":
        return f"{value:.2%}".replace("%", " %")
    return f"{value:.0f}" if goal["measure"] == "peak_mb" else f"{value:.2f}"


def _case(result):
    lines = [f"### {result['title']}: {result['set']}", ""]
    if result["peer"]:
        lines += [f"`ratio` is to {result['peer']}.", ""]
    lines += [HEADER, RULE]
    peer = next((one["median"] for one in result["contenders"] if one["name"] == result["peer"]), None)
    lines += [_row(result, contender, peer) for contender in result["contenders"]]
    lines += [f"\n{text}" for text in _remarks(result)]
    return "\n".join(lines)


def _row(result, contender, peer):
    median = contender["median"]
    if not median:
        why = f"not installed: {contender['missing']}" if contender["missing"] else "**failed**"
        return f"| {contender['name']} | {why} |" + " |" * 7
    ratio = f"{median['wall_s'] / peer['wall_s']:.2f}" if peer else ""
    failed = " (**failed later**)" if contender["failed"] else ""
    per_gb = median["client_cpu_s"] / result["plaintext_bytes"] * 1e9
    share = f" ({median['new_share']:.2%})".replace("%", " %") if "new_share" in median else ""
    cells = [
        contender["name"] + failed,
        f"{median['wall_s']:.2f}",
        ratio,
        f"{median['client_cpu_s']:.2f}",
        f"{per_gb:.2f}",
        f"{median['server_cpu_s']:.2f}",
        f"{median['peak_mb']:.0f}",
        f"{median['output_bytes'] / 1e6:,.2f}{share}",
        f"{median['objects']:,.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _remarks(result):
    if result["case"] in SHARES:
        yield "`output` is what the store grew by, with its share of the first backup's size."
    for contender in result["contenders"]:
        if contender["median"] and result["case"] == "verify":
            yield f"{contender['name']}: {contender['median']['plaintext_gb_s']:.2f} GB of rows per second."
        if contender["failed"]:
            yield f"{contender['name']} failed: `{' '.join(contender['failed'].split())[-400:]}`"

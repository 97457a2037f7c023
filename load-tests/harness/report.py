"""The results as a Markdown table and as text."""

import json

from .bars import NOT_MEASURED


def number(value, digits=2):
    """A figure, or a dash."""
    return "–" if value is None else f"{value:,.{digits}f}"


def spread(values, digits=2):
    """`least–most` of a list."""
    values = [v for v in values if v is not None]
    return "–" if not values else f"{min(values):.{digits}f}–{max(values):.{digits}f}"


def milliseconds(value):
    """Microseconds as milliseconds."""
    return "–" if value is None else f"{value / 1000:.2f}"


def ratio(one, kind):
    """`1.12 [1.10–1.15]`, with a mark when the peer held another number of links."""
    found = one["ratios"].get(kind)
    if not found:
        return "–"
    text = f"{found['median']:.2f}"
    if found["low"] is not None:
        text += f" [{found['low']:.2f}–{found['high']:.2f}]"
    against = found["against"].partition("@")[2]
    if against and one["links"] is not None and int(against) != one["links"]:
        text += f" (its {int(against):,})"
    return text


HEADINGS = [
    ("server", "<"),
    ("links", ">"),
    ("CPU µs/request", ">"),
    ("least–most", ">"),
    ("requests/s", ">"),
    ("core busy", ">"),
    ("p50 ms", ">"),
    ("p99 ms", ">"),
    ("p99.9 ms", ">"),
    ("RSS MiB", ">"),
    ("× bare hyper", "<"),
    ("× nginx", "<"),
    ("× HAProxy", "<"),
]


def rows(summaries):
    """The cells of the table."""
    for one in summaries:
        median = one["median"]
        yield [
            one["label"],
            "–" if one["links"] is None else f"{one['links']:,}",
            number(median["cpu_us"]),
            spread(one["rounds"]["cpu_us"]),
            number(median["rps"], 0),
            "–" if median["busy"] is None else f"{median['busy'] * 100:.0f} %",
            milliseconds(median["p50_us"]),
            milliseconds(median["p99_us"]),
            milliseconds(median["p999_us"]),
            number(one["rss_end"] / 2**20, 0),
            ratio(one, "bare"),
            ratio(one, "nginx"),
            ratio(one, "haproxy"),
        ]


def table(headings, lines):
    """An aligned Markdown table, which reads as plain text too."""
    lines = [list(line) for line in lines]
    widths = [max(len(heading), *(len(line[i]) for line in lines), 3) for i, (heading, _) in enumerate(headings)]

    def laid_out(cells):
        return "| " + " | ".join(f"{c:{side}{w}}" for c, (_, side), w in zip(cells, headings, widths)) + " |"

    rule = ["-" * (w - 1) + (":" if side == ">" else "-") for (_, side), w in zip(headings, widths)]
    return "\n".join([laid_out([h for h, _ in headings]), "| " + " | ".join(rule) + " |", *map(laid_out, lines)])


def bar_rows(bars, judged):
    """The cells of the table of bars."""
    for one in bars:
        unit = one["unit"]
        value = "–" if one["value"] is None else f"{one['value']:.2f}{unit}"
        if one["high"] is not None:
            value += f" [{one['low']:.2f}–{one['high']:.2f}]"
        state = one["state"] if judged or one["state"] == NOT_MEASURED else f"not judged (would be: {one['state']})"
        aim = "–" if one["aim"] is None else f"≤ {one['aim']:g}{unit}: {one['aim_state']}"
        yield [one["name"], f"≤ {one['bar']:g}{unit}", value, one["at"] or "–", state, aim]


BAR_HEADINGS = [("bar", "<"), ("at most", ">"), ("measured", "<"), ("at", "<"), ("state", "<"), ("aim", "<")]
COLD_HEADINGS = [
    ("links", ">"),
    ("first right click s", ">"),
    ("worst s", ">"),
    ("/readyz 200 s", ">"),
    ("RSS MiB", ">"),
]


def cold_rows(cold_starts):
    """The cells of the cold start table."""
    for one in cold_starts:
        yield [
            f"{one['links']:,}",
            number(one["first_click"], 3),
            number(one["worst_first_click"], 3),
            number(one["ready"], 3),
            number(one["rss"] / 2**20, 0),
        ]


def markdown(results):
    """The whole report."""
    machine, options = results["machine"], results["options"]
    parts = [
        "# Load test",
        f"{results['when']}, {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}. "
        f"{options['rounds']} rounds of {options['seconds']} s, {options['connections']} keep-alive connections, "
        "servers interleaved (ABBA), server on one core, wrk on another.",
        "Main figure: CPU of the server (user + system) for one request; the median over the rounds. "
        "Ratios are taken pair by pair within a round: median [95 % interval by bootstrap].",
    ]
    if results["contestants"]:
        parts += [table(HEADINGS, rows(results["contestants"]))]
    if results["cold_start"]:
        state = "page cache dropped before each" if results["cold_start"][0]["cold_cache"] else "page cache warm"
        parts += [f"## Cold start ({state})", table(COLD_HEADINGS, cold_rows(results["cold_start"]))]
    parts += ["## Bars", table(BAR_HEADINGS, bar_rows(results["bars"], results["judged"]))]
    notes = [f"- {note}" for note in results["notes"]]
    notes += [f"- {name}: {version}" for name, version in machine["versions"].items()]
    parts += ["## Notes", "\n".join(notes)]
    return "\n\n".join(parts) + "\n"


def write(results, svg, folder):
    """latest.md, latest.json and latest.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(results)
    picture = "# Load test\n\n![CPU per request](latest.svg)\n"
    (folder / "latest.md").write_text(text.replace("# Load test\n", picture, 1))
    (folder / "latest.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    (folder / "latest.svg").write_text(svg)
    return text

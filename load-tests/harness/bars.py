"""The bars of DESIGN section 8 and whether this run cleared them.

A ratio clears its bar when the upper end of its 95 % interval does. When only the median does, it is `undecided`: run
more rounds. What this run did not measure is `not measured`, never passed.
"""

PASSED, MISSED, UNDECIDED, NOT_MEASURED = "passed", "missed", "undecided", "not measured"
ONE_MILLION, TEN_MILLION, FEW = 1_000_000, 10_000_000, 10_000


def state_of(value, bar, high=None):
    """Where a figure stands against a bar it must not exceed."""
    if value is None:
        return NOT_MEASURED
    if value > bar:
        return MISSED
    return UNDECIDED if high is not None and high > bar else PASSED


def bar(name, limit, aim, unit, measured):
    """One judged bar. `measured` is None or has `median` and perhaps `low`, `high`, `at`."""
    measured = measured or {}
    value = measured.get("median")
    return {
        "name": name,
        "bar": limit,
        "aim": aim,
        "unit": unit,
        "value": value,
        "low": measured.get("low"),
        "high": measured.get("high"),
        "at": measured.get("at"),
        "state": state_of(value, limit, measured.get("high")),
        "aim_state": state_of(value, aim, measured.get("high")) if aim is not None else None,
    }


def gateway(summaries, mode, links):
    """The gateway's summary for a mode and size, or None."""
    for one in summaries:
        if one["kind"] == "hopgate" and one["mode"] == mode and one["links"] == links:
            return one
    return None


def full_click_size(summaries, any_size):
    """The size the full click is judged at: 1,000,000, or the largest measured when any size will do."""
    sizes = [one["links"] for one in summaries if one["kind"] == "hopgate" and one["mode"] == "written"]
    if ONE_MILLION in sizes or not any_size or not sizes:
        return ONE_MILLION
    return max(sizes)


def cpu_ratio(summaries, kind, size):
    """The full click's CPU ratio to a peer that held as many links."""
    one = gateway(summaries, "written", size)
    ratio = one["ratios"].get(kind) if one else None
    if not ratio or (kind != "bare" and ratio["against"] != f"{kind}@{size}"):
        return None
    return {**ratio, "at": f"{size:,} links"}


def bytes_a_link(summaries, size):
    """Memory a link: what a gateway with many links holds over the same gateway with few, after the load."""
    many = gateway(summaries, "written", size)
    few = [one for one in summaries if one["kind"] == "hopgate" and one["mode"] == "written" and one["links"] < size]
    if not many or not few:
        return None
    least = min(few, key=lambda one: one["links"])
    grown = many["rss_end"] - least["rss_end"]
    return {"median": grown / (size - least["links"]), "at": f"{size:,} links over {least['links']:,}"}


def size_ratio(summaries, paired_ratio):
    """CPU of a click among ten million links over a click among ten thousand."""
    many, few = gateway(summaries, "written", TEN_MILLION), gateway(summaries, "written", FEW)
    if not many or not few:
        return None
    return paired_ratio(many["rounds"]["cpu_us"], few["rounds"]["cpu_us"])


def cold_start(cold_starts):
    """The slowest of the measured starts with ten million links."""
    for one in cold_starts:
        if one["links"] == TEN_MILLION:
            return {"median": one["worst_first_click"], "at": f"worst of {len(one['starts'])} starts"}
    return None


def judge(summaries, cold_starts, paired_ratio, any_size=False):
    """Every bar, measured or not."""
    size = full_click_size(summaries, any_size)
    return [
        bar("full click, `written`, CPU to bare hyper", 1.20, 1.10, "×", cpu_ratio(summaries, "bare", size)),
        bar("full click, `written`, CPU to nginx map + log", 0.85, 0.75, "×", cpu_ratio(summaries, "nginx", size)),
        bar("memory a link at 1,000,000", 150, 120, " bytes", bytes_a_link(summaries, ONE_MILLION)),
        bar("10,000,000 links: first right click", 2.0, None, " s", cold_start(cold_starts)),
        bar("click among 10,000,000 to among 10,000", 1.15, None, "×", size_ratio(summaries, paired_ratio)),
    ]


def exit_code(bars, judged):
    """0 all measured bars cleared or not judged, 1 one was missed, 3 none missed but one undecided."""
    states = {one["state"] for one in bars}
    if not judged:
        return 0
    if MISSED in states:
        return 1
    return 3 if UNDECIDED in states else 0

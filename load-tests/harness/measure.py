"""Measured stretches, interleaved over rounds, with every answer accounted for."""

import time

from . import stats, verify, wrk
from .procs import Foreign, StartFailed

VERIFIED = 2000
SETTLE_SECONDS = 3.0
NOISY = 0.05


class Invalid(Exception):
    """The run is worth nothing: a wrong answer, a lost hop, a failed connection."""


class Series:
    """Everything measured of one contestant; one entry a round in each list, None where it has none."""

    FIGURES = ("cpu_us", "rps", "p50_us", "p99_us", "p999_us", "max_us", "busy", "foreign")

    def __init__(self, contestant):
        self.contestant = contestant
        self.rounds = {figure: [] for figure in self.FIGURES}
        self.rss_start = 0
        self.rss_end = 0
        self.answered = 0

    def drop_last(self):
        """Forgets the last round."""
        for values in self.rounds.values():
            values.pop()

    def summary(self):
        """The series as it goes into the results file."""
        one = self.contestant
        return {
            "key": one.key,
            "kind": one.kind,
            "label": one.label,
            "links": one.links,
            "mode": one.mode,
            "rounds": self.rounds,
            "median": {figure: stats.median(values) for figure, values in self.rounds.items()},
            "rss_start": self.rss_start,
            "rss_end": self.rss_end,
            "answered": self.answered,
        }


def settled(contestant):
    """The server's own counters once they stand still, every click with its hop: on a busy machine what was in flight when
    wrk stopped is answered a while later, and would be counted with the next stretch.
    """
    until = time.monotonic() + SETTLE_SECONDS
    counters = contestant.answered()
    while counters is not None and time.monotonic() < until:
        time.sleep(0.05)
        last, counters = counters, contestant.answered()
        if counters == last and counters["clicks"] == counters["hops"]:
            break
    return counters


def accounted(contestant, before, least, most):
    """Waits until the server's own counters show the answered clicks; raises when they never do.

    wrk drops what is in flight when it stops, so after a stretch a server may have counted up to one click more for
    each connection (`most`), and never one less (`least`).
    """
    if before is None:
        return
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        now = contestant.answered()
        grown = {name: now[name] - before[name] for name in ("clicks", "hops")}
        if now["named"] and all(least <= count <= most for count in grown.values()):
            return
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    if not now["named"]:
        raise Invalid(f"{contestant.key}: /metrics lacks hopgate_clicks_total or hopgate_journal_appended_total")
    raise Invalid(f"{contestant.key}: answered {least} to {most} clicks, but its counters grew by {grown}")


def verify_clicks(contestant, count, seed):
    """A pass that checks every answer exactly, and that exactly as many hops were recorded."""
    before = settled(contestant)
    try:
        verify.clicks(contestant.base_url, contestant.codes, count, seed, contestant.constant, contestant.no_store)
    except (verify.WrongAnswer, OSError) as error:
        raise Invalid(f"{contestant.key}: {error}") from error
    accounted(contestant, before, count, count)


def stretch(contestant, series, options, seconds, seed):
    """One wrk run against one server."""
    connections = options.connections
    before = settled(contestant)
    foreign = Foreign({options.server_core, options.load_core})
    cpu_before = contestant.process.cpu_seconds()
    counters = wrk.run(contestant.base_url, contestant.codes, seconds, connections, seed, options.load_core)
    cpu = contestant.process.cpu_seconds() - cpu_before
    others = foreign.share(cpu)
    if not contestant.process.alive():
        raise StartFailed(f"{contestant.key} died under load\n{contestant.process.log_tail()}")
    wrong = wrk.faults(counters)
    if wrong:
        raise Invalid(f"{contestant.key}: wrk counted {', '.join(wrong)} faults in {counters['requests']} requests")
    requests = counters["requests"]
    if not requests:
        raise Invalid(f"{contestant.key}: no request was answered")
    accounted(contestant, before, requests, requests + connections)
    wall = counters["duration_us"] / 1e6
    if series is not None:
        series.answered += requests
        figures = (cpu * 1e6 / requests, requests / wall, counters["p50"], counters["p99"], counters["p999"])
        for figure, value in zip(Series.FIGURES, (*figures, counters["max"], cpu / wall, others)):
            series.rounds[figure].append(value)
    contestant.after_stretch()
    return requests


def run(contestants, options, say):
    """Starts all, checks all, measures all in ABBA rounds, checks all again. Returns the series in the same order."""
    all_series = {one.key: Series(one) for one in contestants}
    for one in contestants:
        begin = time.monotonic()
        one.start()
        all_series[one.key].rss_start = one.process.rss_bytes()
        say(f"started {one.key} in {time.monotonic() - begin:.2f} s")
    for number, one in enumerate(contestants):
        verify_clicks(one, VERIFIED, seed=number)
        stretch(one, None, options, 1, 999)
    kept, repeats = 0, options.repeats
    while kept < options.rounds:
        for key in stats.abba(all_series, kept):
            series = all_series[key]
            stretch(series.contestant, series, options, options.seconds, kept + 1)
            cpu, rate, others = (series.rounds[figure][-1] for figure in ("cpu_us", "rps", "foreign"))
            say(f"round {kept + 1}/{options.rounds}  {key:<28} {cpu:7.2f} µs/request  {rate:9,.0f}/s  {others:4.0%} other")
        noise = max(series.rounds["foreign"][-1] for series in all_series.values())
        if noise > options.noise / 100 and repeats > 0:
            repeats -= 1
            say(f"round {kept + 1} thrown away: other work took {noise:.0%} of the cores ({repeats} repeats left)")
            for series in all_series.values():
                series.drop_last()
        else:
            kept += 1
    for number, one in enumerate(contestants):
        all_series[one.key].rss_end = one.process.rss_bytes()
        verify_clicks(one, VERIFIED, seed=1000 + number)
    return list(all_series.values())


def noise_note(summaries):
    """How quiet the machine was, in words."""
    shares = [share for one in summaries for share in one["rounds"]["foreign"]]
    middle, most = stats.median(shares), max(shares)
    note = f"other work took {middle:.1%} of the two cores (median over the stretches, most {most:.1%})"
    return f"**Noisy machine**: {note}. Measure again when it is quiet." if middle > NOISY or most > 4 * NOISY else note


def with_ratios(summaries):
    """Adds to each summary its ratio to each peer: the one with as many links, else the one with the most."""
    for one in summaries:
        one["ratios"] = {}
        for kind in ("bare", "nginx", "haproxy"):
            peers = [peer for peer in summaries if peer["kind"] == kind]
            if not peers or one["kind"] == kind:
                continue
            same = [peer for peer in peers if peer["links"] in (None, one["links"])]
            peer = same[0] if same else max(peers, key=lambda p: p["links"])
            ratio = stats.paired_ratio(one["rounds"]["cpu_us"], peer["rounds"]["cpu_us"])
            if ratio:
                one["ratios"][kind] = {**ratio, "against": peer["key"]}
    return summaries

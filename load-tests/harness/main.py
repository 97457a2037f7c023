"""One run from the command line to the exit code."""

import datetime
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tempfile

from . import bars, codes, coldstart, install, measure, peers, plot, report, stats
from . import hopgate as hopgate_module
from . import options as options_module
from .procs import StartFailed
from .verify import WrongAnswer
from .wrk import WrkFailed

FAILURES = (
    install.CannotPrepare,
    measure.Invalid,
    StartFailed,
    WrongAnswer,
    WrkFailed,
    subprocess.TimeoutExpired,
    OSError,
)


def say(line):
    """Progress goes to standard error; standard output is for the result."""
    print(line, file=sys.stderr, flush=True)


def machine():
    """What the figures were taken on."""
    cpu = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    asked = {"wrk": ["wrk", "-v"], "nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"], "rustc": ["rustc", "-V"]}
    versions = {name: install.version_of(command) for name, command in asked.items()}
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "versions": versions}


def line_up(options, binaries, folder):
    """The contestants, neighbours those whose ratio matters, and the stores of links by size."""
    all_codes = {count: codes.Codes(count, folder) for count in sorted(set(options.links) | set(options.cold_start))}
    stores = {}
    if options.modes:
        for count, some in all_codes.items():
            stores[count] = hopgate_module.Store(binaries["hopgate"], some, folder, options.server_core, say)
    core, found, notes = options.server_core, [], []
    for count in options.links:
        some = all_codes[count]
        for kind, make in (("nginx", peers.Nginx), ("haproxy", peers.Haproxy)):
            if kind not in options.peers:
                continue
            if count > options.peer_links_max:
                notes.append(f"{kind} with {count:,} keys: skipped (--peer-links-max {options.peer_links_max:,})")
            else:
                found.append(make(some, folder, core))
        for mode in options.modes:
            found.append(hopgate_module.Hopgate(binaries["hopgate"], stores[count], mode, folder, core))
    if "bare" in options.peers:
        # In the middle, so that it is near everything it is compared with.
        middle = len(found) // 2
        asked = all_codes[max(c for c in options.links if c <= 1_000_000 or c == min(options.links))]
        found.insert(middle, peers.BareHyper(binaries["bare"], asked, folder, core))
    return found, stores, notes


def run(options, folder):
    """Everything between the command line and the report."""
    install.ensure_tools(["wrk", "taskset", *(kind for kind in ("nginx", "haproxy") if kind in options.peers)], say)
    binaries = {}
    if "bare" in options.peers:
        binaries["bare"] = install.bare_hyper(options.bare, say)
    if options.modes:
        binaries["hopgate"] = install.hopgate(options.binary, say)
    # The harness itself stays away from the server's core.
    os.sched_setaffinity(0, {options.load_core})
    contestants, stores, notes = line_up(options, binaries, folder)
    try:
        series = measure.run(contestants, options, say)
        for one in contestants:
            if one.kind == "hopgate" and (unsafe := one.unsafe()):
                notes.append(f"{one.key}: {unsafe:,} redirects left before their hop was safe (journal deadline)")
    finally:
        for one in contestants:
            one.stop()
    summaries = measure.with_ratios([one.summary() for one in series])
    order = {"bare": 0, "nginx": 1, "haproxy": 2, "hopgate": 3}
    summaries.sort(key=lambda one: (order[one["kind"]], one["links"] or 0))
    cold = []
    for count in options.cold_start:
        cold.append(coldstart.run(binaries["hopgate"], stores[count], options, folder / f"cold-{count}", say))
    clicks = sum(one["answered"] for one in summaries)
    notes.append(f"{clicks:,} measured requests, every one answered with a redirect; {measure.VERIFIED:,} checked")
    notes[-1] += " exactly before and after each server's rounds; hopgate's journal counted every answered click"
    if not options.modes:
        notes[-1] = notes[-1].rpartition(";")[0]
    notes.insert(0, measure.noise_note(summaries))
    return {
        "when": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "options": {n: getattr(options, n) for n in ("links", "seconds", "rounds", "connections", "modes", "peers")},
        "contestants": summaries,
        "cold_start": cold,
        "bars": bars.judge(summaries, cold, stats.paired_ratio, any_size=options.judge),
        "judged": options.judged,
        "notes": notes,
    }


def stop_on_signal(number, _frame):
    """A terminated run still ends its servers and removes its data."""
    raise SystemExit(128 + number)


def main():
    """Runs, reports, judges."""
    options = options_module.parse()
    signal.signal(signal.SIGTERM, stop_on_signal)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hopgate-load-", dir=options.work))
    try:
        results = run(options, folder)
    except FAILURES as error:
        say(f"run failed, nothing written: {error}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    subtitle = (
        f"{results['options']['rounds']} interleaved rounds of {results['options']['seconds']} s, "
        f"{results['options']['connections']} connections, one server core, {results['when']}"
    )
    print(report.write(results, plot.chart(results["contestants"], subtitle), options.out))
    say(f"written: {options.out}/latest.md, latest.json, latest.svg")
    return bars.exit_code(results["bars"], results["judged"])

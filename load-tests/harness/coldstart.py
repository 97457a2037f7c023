"""From the start of the process to the first right redirect."""

import pathlib
import random
import threading

from . import hopgate as hopgate_module
from . import stats, verify
from .peers import free_port
from .procs import Process

WAIT_SECONDS = 120


def drop_page_cache():
    """Forgets what the kernel holds of files, as after a reboot. Needs root."""
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def once(one, number, cold_cache):
    """One start of one gateway: seconds to the ready line, to the first right redirect, to /readyz 200."""
    click, ops = free_port(), free_port()
    command = one.command(f"127.0.0.1:{click}", f"127.0.0.1:{ops}")
    if cold_cache:
        drop_page_cache()
    index = random.Random(number).randrange(one.codes.count)
    process = Process(f"cold-{number}", command, one.core, one.folder, environment=hopgate_module.environment())
    found = {}

    def watch(name, ask):
        try:
            found[name] = ask() - process.started
        except verify.WrongAnswer as error:
            found[name] = error

    asks = {
        "first_click": lambda: verify.first_right(f"http://127.0.0.1:{click}", one.codes, index, WAIT_SECONDS),
        "ready": lambda: verify.first_status(f"http://127.0.0.1:{ops}/readyz", 200, WAIT_SECONDS),
    }
    threads = [threading.Thread(target=watch, args=pair) for pair in asks.items()]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rss = process.rss_bytes()
    finally:
        process.stop()
    for answer in found.values():
        if isinstance(answer, Exception):
            raise answer
    return {**found, "rss": rss}


def run(binary, store, options, folder, say):
    """Several starts over the same data; medians."""
    one = hopgate_module.Hopgate(binary, store, "written", folder / "cold", options.server_core)
    starts = []
    for number in range(options.cold_starts):
        starts.append(once(one, number, options.cold_cache))
        say(f"cold start {store.codes.count:,} links: first click after {starts[-1]['first_click']:.3f} s")
    return {
        "links": store.codes.count,
        "starts": starts,
        "cold_cache": options.cold_cache,
        "first_click": stats.median([s["first_click"] for s in starts]),
        "worst_first_click": max(s["first_click"] for s in starts),
        "ready": stats.median([s["ready"] for s in starts]),
        "rss": stats.median([s["rss"] for s in starts]),
    }

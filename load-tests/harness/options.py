"""The command line."""

import argparse
import os
import pathlib

MODES = ("queued", "written", "synced")
PEERS = ("bare", "nginx", "haproxy")


def sizes(text):
    """`10000,1000000` as numbers; underscores and an `m` or `k` at the end are understood."""
    found = []
    for part in filter(None, text.lower().replace("_", "").split(",")):
        factor = {"k": 1000, "m": 1_000_000}.get(part[-1], 1)
        digits = part if factor == 1 else part[:-1]
        if not digits.isdigit() or int(digits) < 1:
            raise argparse.ArgumentTypeError(f"`{part}` is not a number of links")
        found.append(int(digits) * factor)
    return sorted(set(found))


def chosen(names):
    """A comma list out of `names`, or `none`."""

    def read(text):
        wanted = [] if text == "none" else [part for part in text.split(",") if part]
        odd = [name for name in wanted if name not in names]
        if odd:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(odd)}; choose from {', '.join(names)} or none")
        return [name for name in names if name in wanted]

    return read


def parse(arguments=None):
    """The options of a run, with the short form applied."""
    parser = argparse.ArgumentParser(
        prog="load-tests/run",
        description="Measures hopgate's full click beside a bare hyper server, nginx and HAProxy in one run.",
        epilog="Exit: 0 every judged bar cleared, 1 a bar missed or the run invalid, 2 wrong use, 3 a bar undecided.",
    )
    add = parser.add_argument
    add("--links", type=sizes, help="numbers of links, e.g. 10000,1m,10m (default 10000,1000000)")
    add("--seconds", type=int, help="length of one stretch (default 5; quick 2)")
    add("--rounds", type=int, help="stretches per server (default 10; quick 3)")
    add("--noise", type=float, default=5, metavar="PERCENT", help="other work a round may see on the cores (default 5)")
    add("--repeats", type=int, help="rounds that may be repeated for noise (default half the rounds; quick 0)")
    add("--connections", type=int, default=64, help="keep-alive connections (default 64)")
    add("--modes", type=chosen(MODES), default=list(MODES), help="journal modes, or none to leave hopgate out")
    add("--peers", type=chosen(PEERS), default=list(PEERS), help="peers, or none")
    add("--peer-links-max", type=int, default=1_000_000, help="nginx and HAProxy are skipped above (default 1000000)")
    add("--binary", metavar="PATH", help="hopgate (default: cargo build --release)")
    add("--bare", metavar="PATH", help="bare_hyper (default: cargo build --release --example bare_hyper)")
    add("--cold-start", type=sizes, default=[], metavar="N", help="time the first right click with N links, e.g. 10m")
    add("--cold-starts", type=int, default=3, help="starts per size (default 3)")
    add("--cold-cache", action="store_true", help="drop the page cache before each cold start (root)")
    add("--quick", action="store_true", help="under 90 s: 10,000 links, 3 rounds of 2 s, reports without judging")
    add("--judge", action="store_true", help="judge in a quick run too, at the largest size measured")
    add("--server-core", type=int, default=0)
    add("--load-core", type=int, default=1)
    add("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "results")
    add("--work", type=pathlib.Path, help="folder for temporary data (default: the system's)")
    options = parser.parse_args(arguments)

    options.links = options.links or ([10_000] if options.quick else [10_000, 1_000_000])
    options.seconds = options.seconds or (2 if options.quick else 5)
    options.rounds = options.rounds or (3 if options.quick else 10)
    if options.repeats is None:
        options.repeats = 0 if options.quick else options.rounds // 2
    options.judged = options.judge or not options.quick
    limits = {"seconds": (1, 60), "rounds": (1, 60), "repeats": (0, 60), "connections": (1, 1000), "cold_starts": (1, 20)}
    for name, (least, most) in limits.items():
        if not least <= getattr(options, name) <= most:
            parser.error(f"--{name.replace('_', '-')} takes {least} to {most}")
    if not options.modes and not options.peers:
        parser.error("nothing to measure: both --modes and --peers are none")
    if options.cold_start and not options.modes:
        parser.error("--cold-start needs hopgate, which --modes none leaves out")
    cores = os.sched_getaffinity(0)
    if options.server_core == options.load_core or not {options.server_core, options.load_core} <= cores:
        parser.error(f"server and load need a core each out of {sorted(cores)}")
    return options

#!/usr/bin/env python3
"""A whole season through hopgate, compared to the fen with what must come out.

  load-tests/season/season.py                   the short form: 20,000 hops, 1,000 orders
  load-tests/season/season.py --full            5,000,000 hops, 200,000 orders; wants some 8 GB of disk, an hour on two cores
  load-tests/season/season.py --seed 7 --kills 40 --work FOLDER --keep
  load-tests/season/season.py --full --again FOLDER    compare once more what such a run left in FOLDER, with its seed and sizes

Makes creators, links, positions, clicks and the networks' order reports from a seed; writes the clicks into a journal;
imports, archives, settles and reports with the real program, killing it (-9) at random moments; and compares every figure
with an independent reckoning. Needs a built program and tool: cargo build --release --bin hopgate --example season_hops.
Exit 0: everything is equal; 1: something differs, the first twenty are explained; 2: wrong use.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from campaign import Campaign, policy_yaml  # noqa: E402
from compare import compare  # noqa: E402
from orders import Orders  # noqa: E402
from product import Failed, Hopgate  # noqa: E402
from rows import Files  # noqa: E402
from steps import Steps  # noqa: E402
from truth import Truth  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHORT, FULL = (20_000, 1_000, 6), (5_000_000, 200_000, 30)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="5,000,000 hops and 200,000 orders")
    parser.add_argument("--hops", type=int)
    parser.add_argument("--orders", type=int)
    parser.add_argument("--kills", type=int, help="how often the program is killed, about")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("HOPGATE_SEED", 20221111)))
    parser.add_argument("--work", type=Path, help="where to work; a temporary folder otherwise")
    parser.add_argument("--keep", action="store_true", help="leave the folder behind")
    parser.add_argument("--again", type=Path, metavar="FOLDER", help="only compare what a run with --keep left there")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--target", type=Path, default=target / "release", help="where the built programs are")
    parser.add_argument("--tool", type=Path, help="season_hops; otherwise among the examples there")
    parser.add_argument("--python", default=os.environ.get("HOPGATE_DUCKDB", ""),
                        help="a Python with the package duckdb; without it Parquet is not compared, which is said")
    asked = parser.parse_args()
    for name, usual in zip(("hops", "orders", "kills"), FULL if asked.full else SHORT):
        if getattr(asked, name) is None:
            setattr(asked, name, usual)
    asked.tool = asked.tool or asked.target / "examples" / "season_hops"
    for program in (asked.target / "hopgate", asked.tool):
        if not program.exists():
            parser.error(f"{program} is not there: cargo build --release --bin hopgate --example season_hops")
    return asked


class Clock:
    """Says how long each stage took."""

    def __init__(self):
        self.began = self.last = time.monotonic()

    def __call__(self, what):
        now = time.monotonic()
        print(f"{now - self.last:8.1f} s  {what}", flush=True)
        self.last = now


def main():
    asked = arguments()
    work = asked.again or Path(tempfile.mkdtemp(prefix="hopgate-season.", dir=asked.work))
    print(f"season: {asked.hops:,} hops, {asked.orders:,} orders, seed {asked.seed} (HOPGATE_SEED repeats it), in {work}")
    log = open(work / "commands.log", "a", encoding="utf-8")
    tick = Clock()
    try:
        campaign = Campaign(asked.seed, asked.hops)
        campaign.plan()
        orders = Orders(campaign, asked.orders)
        tick(f"{campaign.hops:,} hops and {len(orders.lines):,} order lines thought out")
        key = campaign.key = asked.seed.to_bytes(16, "big")
        files = Files(work / "batches", campaign, orders, key)
        data = work / "data"
        data.mkdir(mode=0o700, exist_ok=bool(asked.again))
        (data / "click.key").write_bytes(key)
        (data / "click.key").chmod(0o600)
        folders = write_inputs(work, campaign)
        tick(f"{files.rows:,} rows in {len(files.first) + len(files.second)} files")
        truth = Truth(campaign, orders)
        tick("what must come out is reckoned")

        def write_hops(plan):
            tool = [asked.tool, data, work / plan, work / "meta.json"]
            done = subprocess.run(list(map(str, tool)), capture_output=True, text=True)
            if done.returncode:
                raise Failed(f"season_hops:\n{done.stderr[-2_000:]}")
            tick(done.stdout.strip())

        hopgate = Hopgate(asked.target / "hopgate", data, work / "hopgate.toml", asked.seed,
                          lambda line: print(line, file=log, flush=True))
        steps = Steps(hopgate, work, orders, files, asked.kills, tick)
        if not asked.again:
            steps.run(write_hops)
        equal = compare(hopgate, work, data, campaign, orders, files, truth, asked.python, tick)
        print(f"{hopgate.kills} kills hit, {hopgate.missed} came after the end of their command; "
              f"whole run {time.monotonic() - tick.began:.0f} s")
        slow = sorted(hopgate.seconds.items(), key=lambda pair: -pair[1])[:8]
        print("longest: " + ", ".join(f"{step} {took:.1f} s" for step, took in slow))
        print("season: everything is equal" if equal else "season: SOMETHING DIFFERS")
        sys.exit(0 if equal else 1)
    except Failed as failed:
        print(f"season: FAILED, seed {asked.seed}\n{failed}")
        sys.exit(1)
    finally:
        log.close()
        if asked.keep or asked.again:
            print(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)


def write_inputs(work, campaign):
    """Policies, links, plans of hops and settings."""
    folders = []
    for version in (0, 1):
        folder = work / f"policies-{version + 1}"
        folder.mkdir(exist_ok=True)
        (folder / "season.yaml").write_text(policy_yaml(version))
        folders.append(folder)
    campaign.write_links(work / "links.ndjson")
    campaign.write_plan(work / "plan-1.bin", 0)
    campaign.write_plan(work / "plan-2.bin", 1)
    # A dozen segments of the short form, and some forty of the long.
    campaign.write_meta(work / "meta.json", folders, max(262_144, min(32 << 20, campaign.hops * 16)))
    (work / "hopgate.toml").write_text(SETTINGS.format(policies=folders[1]))
    return folders


# The season lies years back: nothing of it is too old here, or ages would have to be pretended everywhere.
SETTINGS = """[server]
data_dir = "data"
[policies]
dir = "{policies}"
[archive]
reserve = "1s"
[privacy]
keep_visitors = "forever"
[attribution]
keep_touches = "3650d"
keep_visitors = "3650d"
"""

if __name__ == "__main__":
    main()

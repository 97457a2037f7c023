"""Compares what hopgate says of the season with what must come out."""

import json
import subprocess
from collections import Counter

from campaign import HOUR, beijing_day
from product import Failed, Table
from truth import DOUBLE, EAGER, MACHINE, PEOPLE


def sheet(text):
    return json.loads(text)["rows"]


def compare(hopgate, work, data, campaign, orders, files, truth, python, tick):
    table = Table()
    parquet(table, hopgate, work, data, campaign, truth, python)
    tick("Parquet compared")
    return table.show()


def parquet(table, hopgate, work, data, campaign, truth, python):
    """Every hop as DuckDB reads it: in the sealed files, and in an export of all."""
    whole = work / "all.parquet"
    hopgate.run("hops", "export", "--format", "parquet", whole)
    if not python:
        print("NOT COMPARED: Parquet, for want of a Python with duckdb (--python, HOPGATE_DUCKDB)")
        return
    sealed = sorted((data / "archive").glob("hops-*.parquet"))
    table.one("sealed files: any", True, bool(sealed))
    code, moment, reason = Counter(), Counter(), Counter()
    people = {}
    for n in range(campaign.hops):
        name = campaign.links[campaign.link[n]].code
        code[name] += 1
        moment[name] += campaign.at[n] - 1_660_000_000_000_000
        reason[campaign.verdicts[campaign.verdict[n]][1]] += 1
        people.setdefault(beijing_day(campaign.at[n]), set()).add(campaign.visitor[n])
    found = counts(python, whole)
    table.one("DuckDB: hops", campaign.hops, found["total"])
    table.one("DuckDB: different click ids", campaign.hops, found["clicks"])
    table.one("DuckDB: different numbers", campaign.hops, found["numbers"])
    table.all("DuckDB: by outcome", truth.sums(lambda link, hour, outcome, sort: outcome), dict(found["outcome"]))
    table.all("DuckDB: by reason", reason, dict(found["reason"]))
    table.all("DuckDB: by marketplace, day, outcome",
              truth.sums(lambda link, hour, outcome, sort: (link.marketplace, beijing_day(hour * HOUR), outcome)),
              {(market, day, outcome): count for market, day, outcome, count in found["market_day"]})
    table.all("DuckDB: by link", code, {name: count for name, count, _ in found["code"]})
    table.all("DuckDB: instants, summed by link", moment, {name: total for name, _, total in found["code"]})
    table.all("DuckDB: visitors by day", {day: len(who) for day, who in people.items()}, dict(found["visitors"]))
    # What is sealed is a part of it: all but the segment that is being written.
    part = counts(python, data / "archive" / "hops-*.parquet")
    table.one("sealed: every hop once", part["total"], part["clicks"])
    left = {(m, d, o): n for m, d, o, n in found["market_day"]}
    for market, day, outcome, count in part["market_day"]:
        left[market, day, outcome] -= count
    table.one("sealed: no more than there is", [], [key for key, count in left.items() if count < 0][:5])
    print(f"           {len(sealed)} sealed files hold {part['total']:,} of {campaign.hops:,} hops")


def counts(python, files):
    script = __file__.replace("compare.py", "parquet_counts.py")
    done = subprocess.run([python, script, str(files)], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"DuckDB cannot read {files}:\n{done.stderr[-2_000:]}")
    return json.loads(done.stdout)

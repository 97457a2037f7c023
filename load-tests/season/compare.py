"""Compares what hopgate says of the season with what must come out."""

import json
import subprocess
from collections import Counter
from datetime import datetime

from campaign import HOUR, beijing_day
from product import Failed, Table
from rows import click_text
from truth import DOUBLE, EAGER, MACHINE, PEOPLE


PERIOD = ("--from", "2022-10-01", "--to", "2023-06-01", "--format", "json")
SORTS = {PEOPLE: "people", MACHINE: "machines", DOUBLE: "duplicates", EAGER: "excessive"}
# What is wrong with a row, and what hopgate calls it.
REASONS = {"amount": "malformed_amount", "status": "unknown_status", "future": "future_time", "missing": "missing_key",
           "object": "not_an_object"}


def compare(hopgate, work, data, campaign, orders, files, truth, python, tick):
    table = Table()
    quarantine(table, hopgate, files, truth)
    settlement(table, hopgate, campaign, files, truth)
    tick("orders, matches and ledger compared")
    clicks(table, hopgate, campaign, truth)
    tick("reports of clicks compared")
    parquet(table, hopgate, work, data, campaign, truth, python)
    tick("Parquet compared")
    return table.show()


def rows(hopgate, report, *arguments):
    return json.loads(hopgate.run("report", report, *PERIOD, *arguments))["rows"]


def quarantine(table, hopgate, files, truth):
    """Rows that were ever set aside, by reason."""
    listed = json.loads(hopgate.run("orders", "quarantine", "list", "--all", "--limit", "1000000", "--json"))
    expected = {REASONS[fault]: files.faults[fault] + files.mended_faults[fault] for fault in REASONS}
    expected |= {"unknown_position": truth.waiting, "duplicate_key": files.contradictions}
    # A row that waits is kept once for each form it came in (CSV has texts where JSON has numbers): reports are counted.
    reports = {(row["reason"], report_of(row)) for row in listed}
    table.all("reports set aside, by reason", expected, Counter(reason for reason, _ in reports))


def report_of(row):
    if row["reason"] != "unknown_position":
        return row["id"]
    raw = row["raw"] if isinstance(row["raw"], dict) else json.loads(row["raw"])
    return row["network"], row["line"], raw.get("modified_time") or raw.get("modifyTime")


def settlement(table, hopgate, campaign, files, truth):
    shown = json.loads(hopgate.run("ledger", "show", "--json"))
    # Of two reports that contradict each other, both are kept.
    table.one("order reports in the ledger", truth.events + files.contradictions, shown["settled_reports"])
    verified = json.loads(hopgate.run("ledger", "verify", "--json"))
    table.one("ledger verify: lines", len(truth.lines), verified["lines"])

    expected, earned, taken_back = Counter(), Counter(), Counter()
    for month in sorted({month for _, month in truth.estimated}):
        for row in json.loads(hopgate.run("ledger", "balance", "--period", month, "--format", "json")):
            key = row["party"], month
            expected[key], earned[key] = row["expected_fen"], row["earned_fen"]
            taken_back[key] = row["reversed_fen"]
    for name, ours, theirs in (("estimated", truth.estimated, expected), ("confirmed", truth.confirmed, earned),
                               ("reversed", truth.reversed, taken_back)):
        parties = {key: fen for key, fen in theirs.items() if not key[0].startswith("network:")}
        table.all(f"ledger: {name} fen by party and month", ours, parties)
        networks = sum(fen for (party, _), fen in theirs.items() if party.startswith("network:"))
        table.one(f"ledger: {name} fen the networks owe", sum(ours.values()), networks)

    sheet = rows(hopgate, "settlement", "--by", "creator,period")
    for name, ours, column in (("estimated", truth.estimated, "expected_fen"), ("confirmed", truth.confirmed, "earned_fen"),
                               ("reversed", truth.reversed, "reversed_fen")):
        creators = {(party.removeprefix("creator:"), month): fen for (party, month), fen in ours.items()
                    if party.startswith("creator:")}
        table.all(f"settlement: {name} fen by creator and month", creators,
                  {(row["creator"], row["period"]): row[column] or 0 for row in sheet if row["creator"]})
    nobody = Counter()
    for balances in (truth.estimated, truth.confirmed):
        for (party, month), fen in balances.items():
            if party.startswith("unmatched:"):
                nobody[month] += fen
    table.all("settlement: unmatched fen by month", nobody,
              {row["period"]: row["unmatched_fen"] for row in sheet if not row["creator"]})
    lines(table, hopgate, campaign, truth)


def lines(table, hopgate, campaign, truth):
    """Every line that ever had an amount: whom it went to, by what, by which click, and what it came to."""
    found = {}
    for row in rows(hopgate, "settlement", "--by", "order"):
        network = row.get("network_of_line") or row["network"]
        found[network, row["line"]] = row
    texts = {}

    def click(n):
        if n not in texts:
            texts[n] = click_text(campaign.key, campaign.click_id(n))
        return texts[n]

    of = {key: line for key, line in truth.lines.items() if key in found}

    def why(key):
        if key not in truth.lines:
            return "this line was never taken in"
        line, last, match, worth = truth.lines[key]
        return (f"ordered {line.created}, pid {line.pid}, position {line.position}, relation {line.relation}, click "
                f"{line.click}, clicked {line.clicked}; {match.method} {match.reason} hop {match.click}; {last.state} {worth}; "
                f"reports {[(r.state, r.modified, r.fault) for r in line.reports]}")

    money = {key: 1 for key, (*_, worth) in truth.lines.items() if any(worth)}
    table.all("lines with an amount", money, {key: 1 for key in found if key in money}, why)
    table.all("lines: method", {key: match.method for key, (_, _, match, _) in of.items()},
              {key: row["method"] for key, row in found.items()}, why)
    table.all("lines: click credited", {key: match.click is not None and click(match.click) for key, (_, _, match, _) in of.items()},
              {key: row["click"] for key, row in found.items()}, why)
    table.all("lines: creator credited", {key: match.party for key, (_, _, match, _) in of.items()},
              {key: row["credited_to"] for key, row in found.items()}, why)
    table.all("lines: why nobody", {key: match.reason for key, (_, _, match, _) in of.items()},
              {key: row["reason"] for key, row in found.items()}, why)
    for place, column in enumerate(("expected_fen", "earned_fen")):
        table.all(f"lines: {column}", {key: worth[place] for key, (_, _, match, worth) in of.items() if match.party},
                  {key: row[column] for key, row in found.items() if row["credited_to"]}, why)
    # The chain of some: runner-up, window, policy version, agreement.
    sample = sorted(truth.lines)[:: max(1, len(truth.lines) // 20)]
    wanted, shown = {}, {}
    for key in sample:
        line, last, match, _ = truth.lines[key]
        chain = json.loads(hopgate.run("ledger", "line", *key, step="ledger line"))["match"]
        shown[key] = (chain["method"], *((c["click_id"], c["window_days"], c["agreement"]) if c else None
                                         for c in (chain["click"], chain["runner_up"])))
        wanted[key] = (match.method, *((click(n), campaign.verdicts[campaign.verdict[n]][3],
                                        campaign.verdicts[campaign.verdict[n]][2]) if n is not None else None
                                       for n in (match.click, match.runner_up)))
    table.all("chains: method, click, runner-up, windows, agreements", wanted, shown, why)


def clicks(table, hopgate, campaign, truth):
    """`report links`, grouped in every way."""
    def hour_of(text):
        return round(datetime.fromisoformat(text).timestamp() * 1_000_000) // HOUR

    ways = {
        "code,outcome": (lambda link, hour, outcome: (link.code, outcome), lambda row: (row["code"], row["outcome"])),
        "hour,outcome": (lambda link, hour, outcome: (hour, outcome), lambda row: (hour_of(row["hour"]), row["outcome"])),
        "creator,day": (lambda link, hour, outcome: (link.creator, beijing_day(hour * HOUR)),
                        lambda row: (row["creator"] or "", beijing_day(hour_of(row["day"]) * HOUR))),
        "platform,marketplace": (lambda link, hour, outcome: (link.platform, link.marketplace),
                                 lambda row: (row["platform"], row["marketplace"])),
    }
    for by, (ours, theirs) in ways.items():
        sheet = rows(hopgate, "links", "--by", by)
        for sort, column in SORTS.items():
            table.all(f"links by {by}: {column}",
                      truth.sums(lambda link, hour, outcome, of: ours(link, hour, outcome) if of == sort else None),
                      {theirs(row): row[column] for row in sheet})
    # Hour by hour, of the links with the most clicks.
    totals = truth.sums(lambda link, hour, outcome, sort: link.code)
    for code, _ in totals.most_common(5):
        sheet = rows(hopgate, "links", "--by", "hour,outcome", "--code", code)
        table.all(f"link {code} by hour and outcome: people",
                  truth.sums(lambda link, hour, outcome, of: (hour, outcome) if of == PEOPLE and link.code == code else None),
                  {(hour_of(row["hour"]), row["outcome"]): row["people"] for row in sheet})
    # Visitors are told apart day by day, and days are added up.
    for by, of in (("code", "link"), ("creator", "creator"), ("placement", "placement"), ("marketplace", "marketplace")):
        added = Counter()
        for (name, _), count in truth.visitors[of].items():
            added[name] += count
        table.all(f"visitors by {by}", added, {row[by] or "": row["visitors"] or 0 for row in rows(hopgate, "links", "--by", by)})
    table.all("visitors by day", {day: count for (_, day), count in truth.visitors["all"].items()},
              {beijing_day(hour_of(row["day"]) * HOUR): row["visitors"] or 0 for row in rows(hopgate, "links", "--by", "day")})


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

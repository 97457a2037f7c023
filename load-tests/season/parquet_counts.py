"""Counts hops in Parquet files with DuckDB, and nothing else: `parquet_counts.py GLOB` prints JSON. Run by the Python that has
the package `duckdb`; no code of hopgate's has a part in it."""

import json
import sys

import duckdb

source = f"read_parquet('{sys.argv[1]}')"
day = "(epoch_us(time) + 28800000000) // 86400000000"


def rows(sql):
    return duckdb.sql(sql).fetchall()


(total, clicks, sequence), = rows(f"select count(*), count(distinct click_id), count(distinct (node, seq)) from {source}")
print(json.dumps({
    "total": total, "clicks": clicks, "numbers": sequence,
    "outcome": rows(f"select outcome, count(*) from {source} group by all"),
    "reason": rows(f"select reason, count(*) from {source} group by all"),
    "market_day": rows(f"select marketplace, {day}, outcome, count(*) from {source} group by all"),
    "code": rows(f"select code, count(*), sum(epoch_us(time) - 1660000000000000)::bigint from {source} group by all"),
    "visitors": rows(f"select {day}, count(distinct visitor) from {source} group by all"),
}))

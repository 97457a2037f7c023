"""Reads archived hops with DuckDB and says what is in them, as JSON. Arguments: a glob of archived files, an exported file."""

import json
import sys

import duckdb

archived, one = sys.argv[1:3]
db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
db.execute("CREATE VIEW hops AS SELECT * FROM read_parquet(?)".replace("?", repr(archived)))


def value(query):
    return db.execute(query).fetchone()[0]


groups = db.execute(
    "SELECT outcome, reason, coalesce(creator, '-'), coalesce(os, '-'), count(*) FROM hops GROUP BY ALL"
).fetchall()
columns = [row[0] for row in db.execute("DESCRIBE hops").fetchall()]
shown = ", ".join("epoch_us(time) AS time" if name == "time" else name for name in columns)
rows = db.execute(f"SELECT {shown} FROM hops").fetchall()
everything = {row[0]: dict(zip(columns, row)) for row in rows}
print(
    json.dumps(
        {
            "rows": value("SELECT count(*) FROM hops"),
            "one": value(f"SELECT count(*) FROM read_parquet({one!r})"),
            "seqs": int(value("SELECT sum(seq) FROM hops")),
            "groups": {"|".join(row[:4]): row[4] for row in groups},
            "visitors": value("SELECT count(DISTINCT visitor) FROM hops"),
            "bots": value("SELECT count(*) FROM hops WHERE list_contains(string_split(flags, '|'), 'bot')"),
            "first": value("SELECT epoch_us(min(time)) FROM hops"),
            "time_type": value("SELECT typeof(time) FROM hops LIMIT 1"),
            "all": everything,
        }
    )
)

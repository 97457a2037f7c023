//! What becomes of sealed segments of the journal: Parquet files, one row a hop, for DuckDB, pandas and ClickHouse, and for
//! reading hops whose segments are gone. Never on the path of a click; never writes into the journal, and removes a segment
//! only when everything in it is durable elsewhere and everyone who reads it is past it.

#!/usr/bin/env bash
# Everything that must hold before a change is merged, on a fresh Debian machine with a Rust toolchain. Installs the Debian
# packages it needs. Stops at the first failure and names the step. Wants two cores and some tens of minutes; do nothing
# else on the machine meanwhile, or the load test measures that too.
#
#   ./test.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Program and the Debian package it comes in.
readonly NEEDED=(
    wrk:wrk nginx:nginx haproxy:haproxy prometheus:prometheus promtool:prometheus h2load:nghttp2-client
    python3:python3 jq:jq taskset:util-linux cc:build-essential
    chromium:chromium Xvfb:xvfb xdg-open:xdg-utils openssl:openssl zbarimg:zbar-tools fc-list:fontconfig
)
# Debian keeps servers in sbin, cargo its programs in its own folder; an ordinary user's PATH may lack both.
export PATH="$PATH:/usr/sbin:/usr/local/sbin:${CARGO_HOME:-$HOME/.cargo}/bin"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"

results="$(mktemp)"
summary=()
current="start"
remark=""

# Runs at every end: what was done, and cargo's own result lines last, where they are looked for.
finish() {
    local code=$?
    if ((code != 0)); then
        summary+=("FAILED  $current (exit $code)")
    fi
    printf '\n==== summary\n'
    if ((${#summary[@]} > 0)); then
        printf '%s\n' "${summary[@]}"
    fi
    printf 'whole run: %d s\n' "$SECONDS"
    if [[ -s "$results" ]]; then
        printf '\n'
        cat "$results"
    fi
    rm -f "$results"
    if ((code != 0)); then
        printf '\ntest.sh: step "%s" failed\n' "$current" >&2
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# step NAME COMMAND...: headline, command, seconds.
step() {
    current="$1"
    remark=""
    shift
    local began=$SECONDS
    printf '\n==== %s\n' "$current"
    "$@"
    local took=$((SECONDS - began))
    summary+=("$(printf 'ok %5d s  %s' "$took" "$current${remark:+: $remark}")")
    printf -- '---- %s: %d s\n' "$current" "$took"
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        printf 'not root, and sudo asks for a password or is not there\n' >&2
        return 1
    fi
}

packages() {
    local pair missing=()
    for pair in "${NEEDED[@]}"; do
        if ! command -v "${pair%%:*}" >/dev/null; then
            missing+=("${pair##*:}")
        fi
    done
    # Debian has it apart from python3.
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    # The one that is no program: without it Chinese pages are boxes.
    if ! fc-list :lang=zh-cn 2>/dev/null | grep -q .; then
        missing+=(fonts-noto-cjk)
    fi
    if ((${#missing[@]} == 0)); then
        printf 'nothing is missing\n'
        return
    fi
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    printf 'missing: %s\n' "${missing[*]}"
    if ! command -v apt-get >/dev/null; then
        printf 'there is no apt-get here: install the equivalent of these Debian packages: %s\n' "${missing[*]}" >&2
        return 1
    fi
    # RUNLEVEL=1 keeps Debian from starting the servers; the tests start their own, on loopback.
    if ! { as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -qy --no-install-recommends "${missing[@]}"; }; then
        printf 'cannot install them here. As root: apt-get install %s\n' "${missing[*]}" >&2
        return 1
    fi
}

# Cargo's own output, as it is; its result lines are kept for the end.
cargo_test() {
    local log code=0
    log="$(mktemp)"
    cargo test --locked "$@" 2>&1 | tee "$log" || code=$?
    grep -E '^test result:' "$log" >>"$results" || true
    rm -f "$log"
    return "$code"
}

# A Python with DuckDB, by which a test shows that other programs read the archive's Parquet.
duckdb() {
    local venv=target/duckdb
    if ! "$venv/bin/python" -c 'import duckdb' 2>/dev/null; then
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check 'duckdb>=1.1'
    fi
    HOPGATE_DUCKDB="$PWD/$venv/bin/python"
    export HOPGATE_DUCKDB
    "$HOPGATE_DUCKDB" -c 'import duckdb; print("duckdb", duckdb.__version__)'
}

# The promise of mode `written`, a hundred times. Archive and ledger are killed a few times in "tests"; their campaigns are long
# (HOPGATE_KILL_ROUNDS=100 cargo test --test archive --test ledger).
kill_campaign() {
    HOPGATE_KILL_ROUNDS=100 cargo_test --test kill --test journal_crash
}

rustdoc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
}

# Orders and clicks of two months through the trial build, with kills, compared with an independent reckoning.
season() {
    cargo build --locked --example season_hops
    load-tests/season/season.py --target target/trial --tool target/debug/examples/season_hops
}

audit() {
    if ! cargo deny --version >/dev/null 2>&1; then
        cargo install cargo-deny --locked
    fi
    # Duplicates of a crate are warnings by choice and make no noise here.
    cargo deny --log-level error check --hide-inclusion-graph bans licenses sources
}

# Known vulnerabilities. The database comes from the network: without it nothing can be said, which is said.
advisories() {
    if ! cargo deny --log-level error fetch db; then
        remark="NOT CHECKED: the advisory database cannot be fetched, so known vulnerabilities were not looked for"
        printf '%s\n' "$remark"
        return
    fi
    cargo deny --log-level error check --hide-inclusion-graph advisories
}

step "Debian packages" packages
step "format" cargo fmt --check
step "clippy" cargo clippy --all-targets --locked -- -D warnings
step "documentation" rustdoc
step "DuckDB" duckdb
step "tests" cargo_test
step "100 kills" kill_campaign
step "dependency audit: bans, licences, sources" audit
step "dependency audit: advisories" advisories
# The release without optimisation across crates, which takes half of its time (see Cargo.toml).
step "trial build" cargo build --profile trial --locked --bin hopgate --example bare_hyper
step "demo" target/trial/hopgate demo --once
step "a season's own reckoning" python3 load-tests/season/test_season.py
step "a season, short" season
step "pages in a real Chromium" tests/browser/run target/trial/hopgate
step "load test harness" python3 load-tests/test_harness.py
step "load test, quick" load-tests/run --quick --binary target/trial/hopgate --bare target/trial/examples/bare_hyper
step "deploy/check" deploy/check
step "deploy/try" deploy/try target/trial/hopgate

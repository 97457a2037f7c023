"""Runs wrk against one server and reads what it counted."""

import pathlib
import re
import subprocess

from . import codes as codes_module

SCRIPT = pathlib.Path(__file__).with_name("wrk.lua")
# The same words as in wrk.lua: a phone inside Kuaishou's in-app browser.
USER_AGENT = (
    "Mozilla/5.0 (Linux; Android 13; V2243A Build/TP1A.220624.014; wv) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Version/4.0 Chrome/95.0.4638.74 Mobile Safari/537.36 Kwai/11.9.20.34567 NetType/WIFI"
)
LINE = re.compile(r"^WRK (.+)$", re.MULTILINE)
FAULTS = ("connect", "read", "write", "status", "timeout")


class WrkFailed(Exception):
    """wrk did not run, or said nothing that can be read."""


def parse(text):
    """The counters of wrk.lua's last line as numbers."""
    found = LINE.search(text)
    if not found:
        raise WrkFailed(f"wrk printed no summary:\n{text[-2000:]}")
    counters = {}
    for pair in found.group(1).split():
        name, _, value = pair.partition("=")
        counters[name] = int(value)
    return counters


def faults(counters):
    """What went wrong, as words; empty when every answer was a redirect and no socket failed."""
    return [f"{counters[name]} {name}" for name in FAULTS if counters[name]]


def run(base_url, codes, seconds, connections, seed, core):
    """One measured stretch: a single wrk thread on its own core."""
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["-s", str(SCRIPT), base_url + "/", "--", str(codes.path), str(codes_module.CODE_LENGTH), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    if done.returncode != 0:
        raise WrkFailed(f"wrk exited {done.returncode}: {done.stderr.strip()[-2000:]}")
    return parse(done.stdout)

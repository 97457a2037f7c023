"""hopgate itself: configuration, import of links, start, and what it counts about itself."""

import pathlib
import re
import shutil
import subprocess
import time
import urllib.request

from . import policies
from .peers import Contestant
from .procs import Process, StartFailed

IMPORT_SECONDS = 3600
READY_SECONDS = 300


def configuration(mode, policies_folder):
    """The configuration file of one measured gateway. Every time-out and limit keeps its default, which is on. Its log is
    neither counted nor turned into Parquet meanwhile, as nobody does so with nginx's: those are other jobs.

    The keys are the gateway's contract; this function is the only place of the harness that knows them.
    """
    return f"""\
[server]
workers = 1

[journal]
mode = "{mode}"

[policies]
dir = "{policies_folder}"

[attribution]
follow = false

[archive]
enabled = false
"""


def environment():
    """What the systemd unit sets for a gateway."""
    unit = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "systemd" / "hopgate.service"
    lines = unit.read_text(encoding="utf-8").splitlines()
    return dict(line.removeprefix("Environment=").split("=", 1) for line in lines if line.startswith("Environment="))


def parse_ready(line):
    """The addresses of `ready click=http://… control=… ops=…`."""
    return dict(part.split("=", 1) for part in line.split()[1:] if "=" in part)


def sum_metric(text, name):
    """The sum over all label sets of a counter in Prometheus' text form; None when the name is absent."""
    pattern = re.compile(rf"^{re.escape(name)}(?:\{{.*\}})? ([0-9.eE+-]+)", re.MULTILINE)
    values = [float(value) for value in pattern.findall(text)]
    return int(sum(values)) if values else None


def fetch(url):
    """The body of a small page."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode("utf-8")


class Store:
    """A data folder with links imported once; each measured gateway works on its own copy."""

    def __init__(self, binary, codes, folder, core, say):
        self.codes = codes
        self.template = folder / f"store-{codes.count}"
        self.policies = folder / "policies"
        self.config_folder = folder
        policies.write(self.policies)
        links = folder / f"links-{codes.count}.ndjson"
        codes.write_links(links)
        self.template.mkdir()
        begin = time.monotonic()
        self.run(core, binary, "link", "import", "--data-dir", self.template, "--format", "ndjson", links)
        # Looks at every link for the place its orders come under, once. A gateway would do so beside its first clicks.
        self.run(core, binary, "orders", "position", "list", "--limit", "1", "--data-dir", self.template)
        self.import_seconds = time.monotonic() - begin
        links.unlink()
        say(f"imported {codes.count:,} links in {self.import_seconds:.1f} s")

    @staticmethod
    def run(core, *command):
        """One command of hopgate to its end."""
        done = subprocess.run(
            ["taskset", "-c", str(core), *map(str, command)],
            capture_output=True,
            text=True,
            timeout=IMPORT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            named = " ".join(command[1:3])
            raise StartFailed(f"`hopgate {named}` exited {done.returncode}: {done.stderr.strip()[-2000:]}")

    def config(self, mode):
        """A configuration file for one mode."""
        path = self.config_folder / f"hopgate-{mode}.toml"
        path.write_text(configuration(mode, self.policies), encoding="utf-8")
        return path

    def copy_to(self, folder):
        """A data folder of one's own."""
        shutil.copytree(self.template, folder)
        return folder


class Hopgate(Contestant):
    """The full click in one journal mode."""

    no_store = True

    def __init__(self, binary, store, mode, folder, core):
        self.mode = mode
        super().__init__("hopgate", store.codes, store.codes.count, folder, core)
        self.binary = binary
        self.store = store
        self.label = f"hopgate, full click, {mode}"

    @property
    def key(self):
        return f"hopgate-{self.mode}@{self.links}"

    def command(self, click="127.0.0.1:0", ops="127.0.0.1:0"):
        """The command line of the gateway."""
        data = self.folder / "data"
        if not data.exists():
            self.store.copy_to(data)
        command = [self.binary, "serve", "--config", self.store.config(self.mode), "--data-dir", data]
        return [*command, "--click", click, "--control", "127.0.0.1:0", "--ops", ops]

    def start(self):
        """Starts it and learns its addresses."""
        self.process = Process(self.key, self.command(), self.core, self.folder, environment=environment())
        ready = parse_ready(self.process.wait_line("ready ", READY_SECONDS))
        if "click" not in ready or "ops" not in ready:
            raise StartFailed(f"the ready line names no click or ops address: {ready}")
        self.base_url, self.ops_url = ready["click"], ready["ops"]

    def counters(self):
        """Clicks and journal records so far; the smaller counts, since each answered click must be in both."""
        text = fetch(self.ops_url + "/metrics")
        clicks = sum_metric(text, "hopgate_clicks_total")
        hops = sum_metric(text, "hopgate_journal_appended_total")
        return {"clicks": clicks or 0, "hops": hops or 0, "named": clicks is not None and hops is not None}

    def answered(self):
        return self.counters()

    def unsafe(self):
        """Redirects that left before their hop was safe. Must stay 0 in a run that counts."""
        return sum_metric(fetch(self.ops_url + "/metrics"), "hopgate_journal_unsafe_redirects_total") or 0

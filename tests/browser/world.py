"""The world around a test: a real gateway on free ports, shops that answer for the marketplaces, an app that opens, a display.

All of it lives in one temporary folder and ends with the run; nothing outside is looked up or touched.
"""

import http.client
import http.server
import itertools
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent


class CannotTry(Exception):
    """Something is missing or did not start."""


def agents():
    """A real User-Agent of every host app and system: {(app, os): text}, the first person's of each in the corpus. Browsers
    that follow `intent:` are an app of their own, `chromium`, as they are in the matrix of landings."""
    found = {}
    for line in (REPOSITORY / "tests/data/user_agents.tsv").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line:
            continue
        agent, app, system, flags = line.split("\t")[:4]
        if flags in ("no", "-", "c", "m"):
            found.setdefault(("chromium" if flags == "c" else app, system), agent)
    return found


class Gateway:
    """One `hopgate serve` with a folder, settings and policies of its own."""

    def __init__(self, program, folder, policies, settings="", arguments=()):
        self.program, self.folder = program, folder
        (folder / "policies").mkdir(parents=True)
        (folder / "policies" / "all.yaml").write_text(policies, encoding="utf-8")
        self.config = folder / "hopgate.toml"
        self.config.write_text(f'[server]\ndata_dir = "data"\n[policies]\ndir = "policies"\n{settings}', encoding="utf-8")
        self.place = ["--config", self.config, "--data-dir", folder / "data"]
        self.log = folder / "log.txt"
        ports = [part for flag in ("--click", "--control", "--ops") for part in (flag, "127.0.0.1:0")]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*map(str, [program, "serve", *self.place, *ports, *arguments])],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                # SIGXFSZ stays ignored, as Python has it: `no_more_disk` is to be an error of writing, not the end.
                restore_signals=False)
        self.broken, self.exports = False, itertools.count()
        line = self.process.stdout.readline().decode()
        if not line.startswith("ready "):
            raise CannotTry(f"the gateway is not ready: {line}{self.log.read_text(errors='replace')[-2000:]}")
        self.url = dict(part.split("=", 1) for part in line.split()[1:])
        self.key = (folder / "data" / "admin.key").read_text().strip()

    def ask(self, method, path, body=None):
        """An answer of the API; a refusal raises with what it says."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url["control"] + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise CannotTry(f"{method} {path} {body}: {error.code} {error.read().decode()}") from None

    def link(self, slug, url, placement, **more):
        """Makes a link; its code."""
        platform, _, surface = placement.partition("/")
        draft = {"url": url, "slug": slug, "platform": platform or None, "surface": surface or None, **more}
        return self.ask("POST", "/v1/links", draft)["code"]

    def run(self, *arguments):
        """Runs one command of the program on this gateway's data."""
        done = subprocess.run([*map(str, [self.program, *arguments, *self.place])], capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotTry(f"hopgate {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done.stdout

    def click(self, path, agent, **headers):
        """What a plain client gets: status, headers, body."""
        host = self.url["click"].partition("://")[2]
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("GET", path, headers={"User-Agent": agent, "Accept": "text/html", **headers})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body

    def hops(self):
        """Every hop so far."""
        out = self.folder / f"hops-{next(self.exports)}.ndjson"
        self.run("hops", "export", "--format", "ndjson", out)
        return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]

    def no_more_disk(self):
        """From now on nothing can be written to a file: the journal fails."""
        self.broken = True
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (0, 0))

    def close(self):
        """Ends it as an operator does; what it said when it did not end well."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process.stdout.close()
        return None if code == 0 or self.broken else f"the gateway ended with {code}: {self.log.read_text(errors='replace')[-1500:]}"


class Shops:
    """A local HTTPS server that answers for every host there is, so that a landing lands here and not on the internet."""

    def __init__(self, folder):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=shops", "-keyout", folder / "shops.key", "-out", folder / "shops.pem"],
            check=True, capture_output=True)
        self.asked = asked = []

        class Answer(http.server.BaseHTTPRequestHandler):
            """Says which host and path it stands for."""

            def do_GET(self):  # noqa: N802 (the name http.server looks for)
                """A page that tells where it is."""
                url = f"https://{self.headers['Host'].rpartition(':')[0] or self.headers['Host']}{self.path}"
                asked.append((time.monotonic(), url))
                body = b"<!doctype html><html lang=en><title>shop</title><link rel=icon href='data:,'><h1>shop</h1>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Says nothing."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "shops.pem", folder / "shops.key")
        class Server(http.server.ThreadingHTTPServer):
            """Connections that break off are the browser's business: it looks around at its start."""

            def handle_error(self, request, client_address):
                """Says nothing."""

        self.server = Server(("127.0.0.1", 0), Answer)
        # The handshake belongs into the connection's own thread: in accept a silent connection would hold up the others.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def arguments(self):
        """What makes a test browser take this server for the whole internet. Never for anything but a test browser."""
        return [f"--host-resolver-rules=MAP * 127.0.0.1:{self.server.server_port},EXCLUDE 127.0.0.1",
                "--ignore-certificate-errors"]

    def close(self):
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()


class Phone:
    """What stands behind links of apps on this machine: `xdg-open` finds `fake-app`, which notes the address it was given and,
    with a display, takes the whole screen for a while, as an app does."""

    def __init__(self, folder, schemes, installed=True, display=None, seconds=3.5):
        for part in ("data/applications", "config", "none"):
            (folder / part).mkdir(parents=True)
        self.log = folder / "opened.txt"
        if installed:
            mime = "".join(f"x-scheme-handler/{scheme};" for scheme in schemes)
            (folder / "data/applications/fake-app.desktop").write_text(
                f"[Desktop Entry]\nType=Application\nName=App\nExec={HERE / 'fake-app'} %u\nMimeType={mime}\n")
            defaults = "".join(f"x-scheme-handler/{scheme}=fake-app.desktop\n" for scheme in schemes)
            (folder / "config/mimeapps.list").write_text(f"[Default Applications]\n{defaults}")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("XDG_CURRENT_DESKTOP", "DISPLAY")},
            "XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_DATA_DIRS": str(folder / "none"), "BROWSER": "false",
            "FAKE_APP_LOG": str(self.log), "FAKE_APP_SECONDS": str(seconds),
        }
        # xdg-open looks for handlers only where there is a display, or is said to be.
        self.environment["DISPLAY"] = display or ":none"
        if display:
            self.environment["FAKE_APP_TAKES_SCREEN"] = "yes"

    def opened(self):
        """The addresses apps were opened with."""
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []


class Display:
    """A display nobody sees, on a number that is free."""

    def __init__(self):
        read, write = os.pipe()
        self.process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "1300x1000x24", "-nolisten", "tcp"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(write,))
        os.close(write)
        with open(read, encoding="ascii") as told:
            number = told.readline().strip()
        if not number:
            raise CannotTry("Xvfb does not start")
        self.name = f":{number}"

    def close(self):
        """Ends it."""
        self.process.terminate()
        self.process.wait(10)


def needed(programs):
    """Says what is missing; the tests are never skipped for it."""
    missing = [f"{program} (Debian: {package})" for program, package in programs.items() if not shutil.which(program)]
    if missing:
        raise CannotTry(f"missing: {', '.join(missing)}; ./test.sh installs what it needs")


def free(text):
    """A name for a file."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")

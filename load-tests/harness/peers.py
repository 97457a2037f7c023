"""The peers: a bare hyper server, nginx and HAProxy, each as its makers would set it up for this work."""

import os
import socket
import time

from .procs import Process, StartFailed

READY_SECONDS = 120

NGINX = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
    access_log {log} combined buffer=64k flush=1s;
    server_tokens off;
    tcp_nodelay on;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map_hash_bucket_size 512;
    map_hash_max_size {max_size};
    map $uri $target {{
        default "";
        include {map};
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ return 302 $target; }}
    }}
}}
"""

HAPROXY = """\
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    no log
    timeout client 75s
    timeout server 75s
    timeout connect 5s
    timeout http-request 5s
    timeout http-keep-alive 75s
frontend click
    bind 127.0.0.1:{port}
    http-request redirect location %[path,map_str({map})] code 302
"""


def free_port():
    """A loopback port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_listening(process, port, seconds=READY_SECONDS):
    """Until the port takes connections."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not process.alive():
            raise StartFailed(f"{process.name} ended (exit {process.popen.returncode})\n{process.log_tail()}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise StartFailed(f"{process.name} does not listen after {seconds} s\n{process.log_tail()}")


class Contestant:
    """One measured server. `key` names it in results; `kind` is what ratios are taken against."""

    constant = False
    no_store = False
    mode = None

    def __init__(self, kind, codes, links, folder, core):
        self.kind = kind
        self.codes = codes
        self.links = links
        self.folder = folder / self.key.replace("@", "-").replace(" ", "-")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.core = core
        self.process = None
        self.base_url = None

    @property
    def key(self):
        """Name in the results, for instance `nginx@10000`."""
        return self.kind if self.links is None else f"{self.kind}@{self.links}"

    def answered(self):
        """Clicks the server itself counted so far; None when it does not count."""
        return None

    def after_stretch(self):
        """Throws away what a stretch left on disk, if it may."""

    def stop(self):
        """Ends the server."""
        if self.process:
            self.process.stop()
            self.process = None


class BareHyper(Contestant):
    """hyper answering a constant 302."""

    constant = True
    no_store = True
    label = "bare hyper, constant 302"

    def __init__(self, binary, codes, folder, core):
        super().__init__("bare", codes, None, folder, core)
        self.binary = binary

    def start(self):
        """Starts it and learns its address."""
        self.process = Process(self.key, [self.binary, "127.0.0.1:0", "1"], self.core, self.folder)
        self.base_url = self.process.wait_line("ready click=", 10).removeprefix("ready click=")


class Nginx(Contestant):
    """nginx with a map and a buffered access log."""

    label = "nginx, map, buffered access log"

    def __init__(self, codes, folder, core):
        super().__init__("nginx", codes, codes.count, folder, core)

    def start(self):
        """Writes map and configuration, starts it."""
        port = free_port()
        targets = self.folder / "targets.map"
        self.codes.write_nginx_map(targets)
        self.log = self.folder / "access.log"
        config = self.folder / "nginx.conf"
        # Two buckets a key keep chains short; less would save memory and cost nginx time.
        max_size = max(4096, 2 * self.codes.count)
        config.write_text(
            ("user root;\n" if os.geteuid() == 0 else "")
            + NGINX.format(folder=self.folder, log=self.log, map=targets, port=port, max_size=max_size)
        )
        command = ["nginx", "-p", self.folder, "-c", config, "-e", self.folder / "nginx-error.log"]
        self.process = Process(self.key, command, self.core, self.folder)
        wait_listening(self.process, port)
        self.base_url = f"http://127.0.0.1:{port}"

    def after_stretch(self):
        os.truncate(self.log, 0)


class Haproxy(Contestant):
    """HAProxy with a map file and no log."""

    label = "HAProxy, map, no log"

    def __init__(self, codes, folder, core):
        super().__init__("haproxy", codes, codes.count, folder, core)

    def start(self):
        """Writes map and configuration, starts it."""
        port = free_port()
        targets = self.folder / "targets.map"
        self.codes.write_haproxy_map(targets)
        config = self.folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=port, map=targets))
        self.process = Process(self.key, ["haproxy", "-db", "-f", config], self.core, self.folder)
        wait_listening(self.process, port)
        self.base_url = f"http://127.0.0.1:{port}"

"""Asks a few thousand known codes over one keep-alive connection and checks every answer exactly."""

import http.client
import random
import socket
import time
import urllib.parse

from . import codes as codes_module
from .wrk import USER_AGENT


class WrongAnswer(Exception):
    """A server under test answered something it must not."""


def parse_head(head):
    """Status and headers (lower-case names) of an answer's head."""
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ", 2)[1])
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return status, headers


class Client:
    """A plain HTTP/1.1 keep-alive client: enough for the servers under test."""

    def __init__(self, base_url, timeout=5.0):
        parts = urllib.parse.urlsplit(base_url)
        self.host = parts.netloc
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def get(self, path):
        """Status, headers and body."""
        asked = f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: text/html\r\n\r\n"
        self.socket.sendall(asked.encode("ascii"))
        while b"\r\n\r\n" not in self.rest:
            self._more()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        status, headers = parse_head(head)
        if "chunked" in headers.get("transfer-encoding", ""):
            raise WrongAnswer(f"{self.host}{path}: chunked answer to a click (status {status})")
        length = int(headers.get("content-length", "0"))
        while len(self.rest) < length:
            self._more()
        body, self.rest = self.rest[:length], self.rest[length:]
        return status, headers, body

    def _more(self):
        received = self.socket.recv(65536)
        if not received:
            raise WrongAnswer(f"{self.host} closed the connection in the middle of an answer")
        self.rest += received

    def close(self):
        """Ends the connection."""
        self.socket.close()


def right_target(location, expected):
    """The stored destination, to which a gateway may add its own query."""
    return location == expected or location.startswith(expected + "?")


def clicks(base_url, codes, count, seed, constant=False, no_store=False):
    """Sends `count` clicks and returns how many were right, which is `count`; raises on the first that is not."""
    rng = random.Random(seed)
    client = Client(base_url)
    try:
        for _ in range(count):
            index = rng.randrange(codes.count)
            path = "/" + codes[index]
            status, headers, _ = client.get(path)
            location = headers.get("location", "")
            if status != 302:
                raise WrongAnswer(f"{base_url}{path} answered {status}, not 302")
            if not constant and not right_target(location, codes_module.target(index)):
                raise WrongAnswer(f"{base_url}{path} leads to `{location}`, not {codes_module.target(index)}")
            if no_store and "no-store" not in headers.get("cache-control", ""):
                raise WrongAnswer(f"{base_url}{path} lacks `Cache-Control: no-store`")
    finally:
        client.close()
    return count


def first_right(base_url, codes, index, seconds):
    """Retries every 2 ms until the code's redirect is right; the monotonic instant of that answer."""
    until = time.monotonic() + seconds
    last = "no connection"
    while time.monotonic() < until:
        try:
            client = Client(base_url, timeout=1.0)
            try:
                status, headers, _ = client.get("/" + codes[index])
            finally:
                client.close()
            if status == 302 and right_target(headers.get("location", ""), codes_module.target(index)):
                return time.monotonic()
            last = f"status {status}"
        except (OSError, WrongAnswer) as error:
            last = str(error)
        time.sleep(0.002)
    raise WrongAnswer(f"{base_url}: no right redirect within {seconds} s (last: {last})")


def first_status(url, wanted, seconds):
    """Retries every 2 ms until the address answers `wanted`; the monotonic instant of that answer."""
    parts = urllib.parse.urlsplit(url)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        connection = http.client.HTTPConnection(parts.netloc, timeout=1.0)
        try:
            connection.request("GET", parts.path)
            if connection.getresponse().status == wanted:
                return time.monotonic()
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.002)
    raise WrongAnswer(f"{url}: not {wanted} within {seconds} s")

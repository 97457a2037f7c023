"""Server processes: start pinned to a core, CPU time, memory, stop. Only ever ends what it started."""

import os
import pathlib
import queue
import signal
import subprocess
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")


class StartFailed(Exception):
    """A server did not come up; the message holds the end of its log."""


def cpu_seconds_of(stat_line):
    """User + system seconds of one process (all its threads, dead ones too) from the text of /proc/PID/stat."""
    fields = stat_line.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def parent_of(stat_line):
    """Parent id from the text of /proc/PID/stat."""
    return int(stat_line.rpartition(")")[2].split()[1])


def rss_bytes_of(status_text):
    """VmRSS from the text of /proc/PID/status."""
    for line in status_text.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def busy_seconds_of(stat_text, cores):
    """Seconds the given cores were not idle, from the text of /proc/stat."""
    busy = 0
    for line in stat_text.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            busy += user + nice + system + irq + softirq + steal
    return busy / TICKS


def children_seconds():
    """CPU of all ended and waited-for children of the harness, which is where wrk's goes."""
    used = os.times()
    return used.children_user + used.children_system


class Foreign:
    """How much of the measured cores went to neither server nor wrk: other programs, or a stolen virtual core."""

    def __init__(self, cores):
        self.cores = cores
        self.busy, self.children, self.wall = self._now()

    def _now(self):
        busy = busy_seconds_of(pathlib.Path("/proc/stat").read_text(), self.cores)
        return busy, children_seconds(), time.monotonic()

    def share(self, server_seconds):
        """Share of the cores' time since the start, given what the server used of it."""
        busy, children, wall = self._now()
        foreign = busy - self.busy - (children - self.children) - server_seconds
        return max(0.0, foreign / ((wall - self.wall) * len(self.cores)))


def tree(root):
    """The process and all its descendants that are alive now."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = parent_of((entry / "stat").read_text())
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(children.get(pid, []))
    return found


class Process:
    """One server, pinned to one core, its log in a file."""

    def __init__(self, name, command, core, folder, cwd=None, environment=None):
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._log = open(self.log_path, "wb")
        self._lines = queue.Queue()
        self.started = time.monotonic()
        self.popen = subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.popen.stdout:
            self._lines.put(line.decode("utf-8", "replace").rstrip("\n"))
        self._lines.put(None)

    def wait_line(self, start, seconds):
        """The first line on standard output that begins with `start`."""
        until = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise StartFailed(f"{self.name} said nothing for {seconds} s\n{self.log_tail()}") from None
            if line is None:
                raise StartFailed(f"{self.name} ended (exit {self.popen.wait()})\n{self.log_tail()}")
            if line.startswith(start):
                return line

    def alive(self):
        """Whether it still runs."""
        return self.popen.poll() is None

    def cpu_seconds(self):
        """CPU used so far by the whole process tree."""
        total = 0.0
        for pid in tree(self.popen.pid):
            try:
                total += cpu_seconds_of(pathlib.Path(f"/proc/{pid}/stat").read_text())
            except OSError:
                continue
        return total

    def rss_bytes(self):
        """Resident memory of the largest process of the tree (nginx's master and worker share their pages)."""
        largest = 0
        for pid in tree(self.popen.pid):
            try:
                largest = max(largest, rss_bytes_of(pathlib.Path(f"/proc/{pid}/status").read_text()))
            except OSError:
                continue
        return largest

    def log_tail(self):
        """The end of its log."""
        self._log.flush()
        return self.log_path.read_text(errors="replace")[-2000:]

    def stop(self, seconds=35):
        """Asks it to end, then insists."""
        if self.alive():
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        self._log.close()

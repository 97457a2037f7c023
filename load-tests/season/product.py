"""Runs hopgate as its users do, and kills it: every step may be ended with SIGKILL at random moments and is then run again
until it is done. Only processes started here are ever killed.
"""

import random
import subprocess
import sys
import time


class Failed(Exception):
    """A command that had to succeed did not."""


class Hopgate:
    def __init__(self, binary, data, config, seed, log):
        self.binary, self.data, self.config = str(binary), str(data), str(config)
        self.dice = random.Random(f"{seed}:kills")
        self.log = log
        self.usual = {}      # how long a kind of step takes undisturbed
        self.kills = self.missed = 0
        self.seconds = {}

    def _command(self, arguments):
        return [self.binary, *map(str, arguments), "--config", self.config, "--data-dir", self.data]

    def run(self, *arguments, kills=0, ok=(0,), after_kill=(), step=None):
        """The output of a command that is run until it ends by itself. `after_kill`: exit codes that are well, too, when
        there was an earlier try, which may have done all of it before it was killed."""
        step = step or " ".join(map(str, arguments[:2]))
        for _ in range(kills):
            self._kill_one(step, self._command(arguments))
        began = time.monotonic()
        done = subprocess.run(self._command(arguments), capture_output=True, text=True, encoding="utf-8")
        took = time.monotonic() - began
        self.usual[step] = took
        self.seconds[step] = self.seconds.get(step, 0) + took
        self.log(f"{took:8.2f} s  exit {done.returncode}  {' '.join(map(str, arguments))}")
        for stream in (done.stderr, done.stdout if len(done.stdout) < 4_000 else ""):
            for line in stream.splitlines()[:30]:
                self.log(f"            {line}")
        if done.returncode not in (*ok, *(after_kill if kills else ())):
            raise Failed(f"{' '.join(self._command(arguments))}\nexit {done.returncode}\n{done.stderr[-3_000:]}")
        return done.stdout

    def _kill_one(self, step, command):
        """Kills the command at some moment, unless it ends before."""
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Not before it has done anything: half of what a start takes is arguments and settings.
        delay = self.dice.uniform(0.01, max(0.05, self.usual.get(step, 0.3)))
        try:
            process.wait(timeout=delay)
            self.missed += 1
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.kills += 1
            self.log(f"            killed after {delay:.3f} s: {step}")

    def serve_and_kill(self, longest):
        """A gateway with all its background work, killed at a random moment."""
        listen = [part for name in ("click", "control", "ops") for part in (f"--{name}", "127.0.0.1:0")]
        process = subprocess.Popen(self._command(["serve", *listen]), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        try:
            ready = process.stdout.readline()
            if not ready.startswith("ready"):
                process.wait(timeout=30)
                raise Failed(f"the gateway did not start:\n{process.stderr.read()[-3_000:]}")
            time.sleep(self.dice.uniform(0, longest))
        finally:
            process.kill()
            process.communicate()
        self.kills += 1
        self.log("            killed: serve")


class Table:
    """What was compared, and every difference."""

    def __init__(self, out=sys.stdout):
        self.rows, self.differences, self.out = [], [], out

    def one(self, name, expected, found):
        self.rows.append((name, 1, 0 if expected == found else 1, str(expected), str(found)))
        if expected != found:
            self.differences.append(f"{name}: {expected} expected, {found} found")

    def all(self, name, expected, found, explain=None):
        """Two maps; a key that is missing counts as zero or empty."""
        expected = {key: value for key, value in expected.items() if value}
        found = {key: value for key, value in found.items() if value}
        wrong = sorted((key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)), key=str)
        both = [sum(v if isinstance(v, int) else 1 for v in values.values()) for values in (expected, found)]
        self.rows.append((name, len(expected.keys() | found.keys()), len(wrong), f"{both[0]:,}", f"{both[1]:,}"))
        for key in wrong[:20]:
            more = f"\n      {explain(key)}" if explain else ""
            self.differences.append(f"{name}: {key}: {expected.get(key)} expected, {found.get(key)} found{more}")
        if len(wrong) > 20:
            self.differences.append(f"{name}: {len(wrong) - 20} more differ")

    def show(self):
        """Prints the table; whether all is equal."""
        width = max(len(row[0]) for row in self.rows)
        print(f"{'':{width}}  {'compared':>10} {'differ':>8}  {'sum expected':>18} {'sum found':>18}", file=self.out)
        for name, count, wrong, expected, found in self.rows:
            print(f"{name:{width}}  {count:>10,} {wrong:>8,}  {expected:>18.18} {found:>18.18}", file=self.out)
        for difference in self.differences[:20]:
            print(f"  DIFFERENCE {difference}", file=self.out)
        if len(self.differences) > 20:
            print(f"  … and {len(self.differences) - 20} more", file=self.out)
        return not self.differences

"""Runs a command, passes its standard output on, and prints what it used as one more line of JSON."""

import json
import os
import resource
import subprocess
import sys
import threading
import time


def watch(pid, peak, ended):
    """Keeps the highest resident set of a process. Its own figure at the end would count this interpreter's before exec."""
    while not ended.wait(0.02):
        try:
            with open(f"/proc/{pid}/status", encoding="ascii") as status:
                lines = [line for line in status if line.startswith("VmHWM")]
        except OSError:
            return
        if lines:
            peak[0] = max(peak[0], int(lines[0].split()[1]))


def main():
    begun = time.monotonic()
    peak, ended = [0], threading.Event()
    with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE) as child:
        watching = threading.Thread(target=watch, args=(child.pid, peak, ended))
        watching.start()
        out = child.stdout.read()
        code = child.wait()
    wall = time.monotonic() - begun
    ended.set()
    watching.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    os.write(1, out)
    print(json.dumps({
        "wall_seconds": wall,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "max_rss_mib": peak[0] / 1024,
    }))
    return code


if __name__ == "__main__":
    sys.exit(main())

"""Runs a command, passes its standard output on, and prints what it used as one more line of JSON."""

import json
import os
import resource
import subprocess
import sys
import time


def main():
    begun = time.monotonic()
    done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, check=False)
    wall = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    os.write(1, done.stdout)
    print(json.dumps({
        "wall_seconds": wall,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "max_rss_mib": used.ru_maxrss / 1024,
    }))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())

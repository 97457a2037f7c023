"""Installs what a run needs from Debian, and builds the two binaries."""

import json
import os
import pathlib
import shutil
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = {"wrk": "wrk", "nginx": "nginx", "haproxy": "haproxy", "taskset": "util-linux"}


class CannotPrepare(Exception):
    """Something a run needs is missing and could not be had."""


def find_in_sbin():
    """Debian keeps nginx and HAProxy in sbin, which an ordinary user's PATH may lack."""
    path = os.environ.get("PATH", "")
    for folder in ("/usr/sbin", "/usr/local/sbin"):
        if folder not in path.split(":"):
            path += ":" + folder
    os.environ["PATH"] = path


def ensure_tools(names, say):
    """Every named program on the PATH, installing the Debian package of those that are missing."""
    find_in_sbin()
    missing = sorted({PACKAGES[name] for name in names if not shutil.which(name)})
    if not missing:
        return
    say(f"installing {' '.join(missing)}")
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not shutil.which("apt-get") or (prefix and not shutil.which("sudo")):
        raise CannotPrepare(f"missing: {' '.join(missing)}. Install them and run again.")
    # RUNLEVEL keeps Debian from starting the services: the harness starts its own, on loopback.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = [*prefix, "apt-get", "install", "-y", "--no-install-recommends", *missing]
    if subprocess.run(install, env=environment, capture_output=True, check=False).returncode != 0:
        subprocess.run([*prefix, "apt-get", "update"], env=environment, capture_output=True, check=False)
        done = subprocess.run(install, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotPrepare(f"`{' '.join(install)}` failed:\n{done.stderr[-2000:]}")


def target_folder():
    """Where cargo puts what it builds."""
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--offline"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotPrepare(f"cargo metadata failed:\n{done.stderr[-2000:]}")
    return pathlib.Path(json.loads(done.stdout)["target_directory"])


def build(what, say):
    """Builds with the repository's release profile: `["--bin", "hopgate"]` or `["--example", "bare_hyper"]`."""
    say(f"building {what[1]} (release)")
    done = subprocess.run(["cargo", "build", "--release", *what], cwd=REPOSITORY, check=False)
    if done.returncode != 0:
        raise CannotPrepare(f"cargo build --release {' '.join(what)} failed")


def bare_hyper(given, say):
    """Path of the bare hyper server."""
    if given:
        return pathlib.Path(given).resolve()
    build(["--example", "bare_hyper"], say)
    return target_folder() / "release" / "examples" / "bare_hyper"


def hopgate(given, say):
    """Path of the gateway."""
    if given:
        return pathlib.Path(given).resolve()
    build(["--bin", "hopgate"], say)
    return target_folder() / "release" / "hopgate"


def version_of(command):
    """First line a program prints about its version."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"

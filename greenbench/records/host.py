"""What a manifest says about the machine, the packages and the code; read without torch."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import greenbench
from greenbench.records.manifest import GitState, Host

PACKAGES = (
    "greenbench",
    "torch",
    "transformers",
    "numpy",
    "scikit-learn",
    "scipy",
    "soundfile",
    "soxr",
    "codecarbon",
    "fvcore",
    "nvidia-ml-py",
    "pandas",
    "matplotlib",
    "peft",
)


@cache
def describe_host() -> Host:
    """Look up hostname, CPU, usable cores, memory, operating system and boot id."""
    import psutil

    boot = Path("/proc/sys/kernel/random/boot_id")
    return Host(
        hostname=socket.gethostname(),
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        memory_bytes=psutil.virtual_memory().total,
        os=platform.platform(),
        python=platform.python_version(),
        boot_id=boot.read_text().strip() if boot.exists() else None,
    )


@cache
def package_versions() -> dict[str, str]:
    """Look up the versions of the packages a result depends on, absent ones left out."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_state(folder: Path | None = None) -> GitState:
    """Look up commit and dirty flag of the checkout that ``folder`` is the top of; None outside one.

    By default it is the checkout that greenbench runs from.
    """
    folder = folder or Path(greenbench.__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return GitState()
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return GitState(commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no")))
    except (OSError, subprocess.SubprocessError):
        return GitState()


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

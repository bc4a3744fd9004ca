"""Type Ctrl-C in every phase of a run, on a real terminal (tmux), and keep what stood there before and after it.

    python -m benchmarks.ctrl_c [--columns 80] [--phases start,features,...] [--out reports/terminal/ctrl_c.txt]

Each phase gets a run of its own of two models, with an empty cache, so that nothing is skipped. Written down are the
screen when Ctrl-C is typed, the screen when the prompt is back, the seconds between, the exit code, and whether the
next trial was begun. Needs tmux.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PHASES = ("start", "idle", "setup", "features", "targets", "pretrain", "evaluate")
SUITE = """[suite]
name = "mine"
models = ["eco", "melhubert"]
controls = []
data = "mini"
[budget]
seconds = 20
[train]
threads = 1
batch_seconds = 8
crop_seconds = 4
[protocol]
quiet_wait_seconds = 0
"""
GIVE_UP_S = 600.0


class Terminal:
    """A terminal of its own with a shell that stands in a folder."""

    def __init__(self, folder: Path, columns: int) -> None:
        self.folder, self._name = folder, f"greenbench-{os.getpid()}"
        programs = folder / "bin"
        programs.mkdir()
        (programs / "greenbench").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m greenbench "$@"\n')
        (programs / "greenbench").chmod(0o755)
        (folder / "mine.toml").write_text(SUITE, encoding="utf-8")
        environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GREENBENCH_CACHE": str(folder / "cache"),
            "PS1": "$ ",
        }
        settings = shlex.join(f"{key}={value}" for key, value in environment.items())
        size = ["-x", str(columns), "-y", "40"]
        shell = f"env {settings} bash --norc --noprofile"
        self._tmux("new-session", "-d", "-s", self._name, *size, "-c", str(folder), shell)

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._name, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def type(self, *keys: str) -> None:
        """Press keys, by tmux' names for them."""
        self._tmux("send-keys", "-t", self._name, *keys)

    def screen(self) -> str:
        """What stands on it, with what has scrolled away."""
        return self._tmux("capture-pane", "-p", "-S", "-", "-t", self._name).rstrip()

    def close(self) -> None:
        """End it and all that runs in it."""
        subprocess.run(["tmux", "-L", self._name, "kill-server"], check=False, capture_output=True)


@dataclass(frozen=True)
class Stopped:
    """One Ctrl-C: the screens around it and what came of it."""

    phase: str
    before: str
    after: str
    took_s: float
    exit_code: int
    trials: int


def begun(folder: Path) -> set[str]:
    """The phases that trials have begun, as far as their journals say."""
    found = {"start"}
    for path in folder.glob("runs/*/*/events.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.endswith("}") and (event := json.loads(line)).get("event") == "begin":
                found.add(event["phase"])
    return found


def stop_in(phase: str, folder: Path, columns: int) -> Stopped:
    """Start a run, type Ctrl-C once it is in ``phase``, and wait for the prompt."""
    terminal = Terminal(folder, columns)
    try:
        terminal.type('greenbench run mine.toml; echo "exit code $?"', "Enter")
        _wait(lambda: _has_come(phase, folder, terminal.screen()), f"the phase {phase}")
        before = terminal.screen()
        began = time.monotonic()
        terminal.type("C-c")
        _wait(lambda: re.search(r"^exit code \d+$", terminal.screen(), re.MULTILINE) is not None, "the prompt")
        took_s = time.monotonic() - began
        after = terminal.screen()
    finally:
        terminal.close()
    code = int(re.findall(r"^exit code (\d+)$", after, re.MULTILINE)[-1])
    return Stopped(phase, before, after, took_s, code, len(list(folder.glob("runs/*/*/manifest.json"))))


def _has_come(phase: str, folder: Path, screen: str) -> bool:
    if re.search(r"^exit code \d+$", screen, re.MULTILINE):
        sys.exit(f"ctrl_c: the run ended before {phase}:\n{screen}")
    shown = "loading, then" if phase == "start" else rf"\[1/2\] \S+\s+{phase}"
    return phase in begun(folder) and re.search(shown, screen) is not None


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GIVE_UP_S
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"ctrl_c: {what} did not come within {GIVE_UP_S:g} s")
        time.sleep(0.05)


def as_text(found: Stopped) -> str:
    """The two screens below a line that says what came of it."""
    head = (
        f"== Ctrl-C in: {found.phase} (prompt back after {found.took_s:.1f} s, exit code {found.exit_code}, "
        f"trials begun: {found.trials})"
    )
    return f"{head}\n\n-- the screen then\n{found.before}\n\n-- the screen after it\n{found.after}\n"


def main() -> None:
    """Stop a run in each phase and write down what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    texts = []
    for phase in options.phases.split(","):
        with tempfile.TemporaryDirectory() as folder:
            texts.append(as_text(stop_in(phase, Path(folder), options.columns)))
        print(texts[-1], flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text("\n".join(texts), encoding="utf-8")


if __name__ == "__main__":
    main()

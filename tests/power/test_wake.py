from __future__ import annotations

import subprocess
import sys
import time

import pytest

SLEEPER = """
import sys, threading, time
from greenbench.power.sampler.wake import waker
threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
wait = waker(0)
print("ready", flush=True)
for _ in range(int(sys.argv[1])):
    begin = time.monotonic()
    woken = bool(wait(2.0))
    print(woken, time.monotonic() - begin, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def sleeper():
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER, "5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def woken(process):
    text, seconds = process.stdout.readline().split()
    return text == "True", float(seconds)


def test_a_line_on_the_pipe_wakes_at_once_each_time(sleeper):
    for _ in range(3):
        time.sleep(0.2)
        sleeper.stdin.write("line\n")
        sleeper.stdin.flush()
        awake, seconds = woken(sleeper)
        assert awake
        assert seconds < 1.0


def test_the_end_of_the_pipe_wakes_too(sleeper):
    time.sleep(0.2)
    sleeper.stdin.close()
    awake, seconds = woken(sleeper)
    assert awake
    assert seconds < 1.0


def test_without_anything_it_waits_its_time(sleeper):
    awake, seconds = woken(sleeper)
    assert not awake
    assert 1.9 < seconds < 4.0


def test_what_is_no_pipe_is_polled(tmp_path):
    (tmp_path / "lines").write_text("line\n")
    with (tmp_path / "lines").open() as stdin:
        done = subprocess.run(
            [sys.executable, "-c", SLEEPER, "1"], stdin=stdin, capture_output=True, text=True, check=True
        )
    assert done.stdout.splitlines()[1].startswith("True")

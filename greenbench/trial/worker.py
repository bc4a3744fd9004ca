"""The trial's own process: ``python -m greenbench.trial.worker TRIAL_DIR``.

It books every phase in ``events.jsonl``, trains under the ledger, evaluates, and writes ``outcome.json``. It holds the
trial folder's lock while it lives and dies with its parent, so that no orphan trains on.
"""

from __future__ import annotations

import contextlib
import fcntl
import signal
import sys
import traceback
from pathlib import Path

from greenbench.errors import GreenbenchError, Interrupted, OutputError, TrialFailed, is_out_of_memory
from greenbench.trial import session
from greenbench.trial.booking import Worker
from greenbench.trial.process import die_with_parent


def main(argv: list[str] | None = None) -> int:
    """Run one session of the trial in the folder given."""
    folder = Path((argv or sys.argv[1:])[0])
    die_with_parent()
    lock = (folder / ".worker.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print(f"{folder}: another process works on this trial; wait for it or stop it", file=sys.stderr)
        return 2
    worker = Worker(folder)
    signal.signal(signal.SIGTERM, worker.request_stop)
    signal.signal(signal.SIGINT, worker.request_stop)
    try:
        return session.run(worker)
    except KeyboardInterrupt:
        # Not "interrupted": what this session did since its last checkpoint will be done again.
        worker.events.write(event="stopped")
        return Interrupted.exit_code
    except GreenbenchError as error:
        return _fail(worker, error, error.exit_code)
    except Exception as error:
        if is_out_of_memory(error):  # in the setup: later phases say what would fit
            words = str(error).splitlines()[:1]
            return _fail(
                worker, TrialFailed(f"out of memory in the setup ({''.join(words)}); choose a smaller model"), 4
            )
        with contextlib.suppress(OSError):
            (folder / "traceback.txt").write_text(traceback.format_exc())
        return _fail(worker, error, 4)


def _fail(worker: Worker, error: Exception, code: int) -> int:
    """Leave the reason in the folder; on a full disk, where nothing can be left, on the standard error."""
    try:
        worker.fail(error)
    except OutputError as second:
        print(f"{error}; {second}" if str(error) != str(second) else error, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

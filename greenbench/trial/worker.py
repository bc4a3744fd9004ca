"""The trial's own process: ``python -m greenbench.trial.worker TRIAL_DIR``.

It books every phase in ``events.jsonl``, trains under the ledger, evaluates, and writes ``outcome.json``. It holds the
trial folder's lock while it lives and dies with its parent, so that no orphan trains on.
"""

from __future__ import annotations

import fcntl
import signal
import sys
import traceback
from pathlib import Path

from greenbench.errors import DataError, GreenbenchError, Interrupted
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
        worker.fail(error)
        return error.exit_code
    except MemoryError as error:
        worker.fail(DataError(f"out of memory ({error}); lower train.batch_seconds or train.crop_seconds"))
        return 4
    except Exception as error:
        (folder / "traceback.txt").write_text(traceback.format_exc())
        worker.fail(error)
        return 4


if __name__ == "__main__":
    sys.exit(main())

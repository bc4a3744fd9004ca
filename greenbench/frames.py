"""Run folders as a table for notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from greenbench.records import find_trials
from greenbench.report.tables.csv_files import result_columns, result_row

if TYPE_CHECKING:
    import pandas as pd


def load_runs(paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Load run folders into a table: one row a trial, failed and unfinished ones too, the columns of ``results.csv``.

    Units are in the columns' names. What a trial does not have is ``NA``, never 0; ``status`` and ``valid`` say which
    trials may be used, ``energy_source`` whether their joules are measured or modelled.

    Raises:
        DataError: a folder is missing, holds no trial or a damaged one.
    """
    import pandas as pd

    given = [paths] if isinstance(paths, (str, Path)) else paths
    trials = find_trials(Path(path) for path in given)
    return pd.DataFrame(map(result_row, trials), columns=list(result_columns(trials))).convert_dtypes()

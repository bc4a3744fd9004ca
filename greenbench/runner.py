"""``greenbench run``: plan a suite, run what is missing in its own processes, resume what was interrupted, report."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from greenbench.carbon import HINT, Grid, find_grid
from greenbench.config import SUITE_FILE, Suite, load_suite, suite_from_table
from greenbench.corpora.apart import load_both
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.describe import as_note
from greenbench.corpora.summary import summarise
from greenbench.display import QuietDisplay
from greenbench.errors import ConfigError, DataError, Interrupted, OutputError, TrialFailed
from greenbench.features.waveforms import prepare_waveforms
from greenbench.metrics import METRICS, format_value
from greenbench.plan import AROUND_TRAINING_S, TrialPlan, expand
from greenbench.preflight import check_labels, check_memory, check_trials, unscorable
from greenbench.progress import Display, SuiteClock
from greenbench.records import MANIFEST, RESULT, SCHEMA_VERSION, Trial, load_trial, read_json, write_whole
from greenbench.records.folder_names import new_run_folder
from greenbench.schema import as_table, read_toml
from greenbench.trial.finish import recover
from greenbench.trial.parent import execute
from greenbench.trial.prepare import open_trial
from greenbench.trial.recount import recount
from greenbench.units import format_duration, format_si

_GROWING = ("models", "controls", "seeds", "baseline")


@dataclass
class RunSummary:
    """What a run did."""

    out: Path
    trained: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def finished(self) -> list[str]:
        """Trials that have a result, of this call or of an earlier one."""
        return [*self.trained, *self.skipped]


def run_suite(
    suite: Suite | str,
    out: Path | str | None = None,
    *,
    argv: Sequence[str] | None = None,
    display: Display | None = None,
) -> RunSummary:
    """Run every trial of a suite that has no result yet; the same call goes on with what was interrupted.

    Args:
        suite: a suite, the name of a built-in one or a TOML file.
        out: the run folder; default: ``runs/<suite>-<stamp>``.
        argv: the command that the manifests name; default: this process' own.
        display: told what goes on; default: nobody.

    Raises:
        Interrupted: the user stopped it.
        OutputError: the folder cannot be written or is in use.
        ConfigError: something that cannot run, or the folder holds another suite.
    """
    suite = load_suite(suite) if isinstance(suite, str) else suite
    return _run(
        suite, Path(out) if out else new_run_folder(suite.suite.name), argv or sys.argv, display or QuietDisplay()
    )


def _run(suite: Suite, out: Path, argv: Sequence[str], display: Display) -> RunSummary:
    plans = expand(suite)
    grid = _find_grid(suite)
    corpus, scored = load_both(suite.suite.data, suite.evaluate.data, lambda text, _: display.note(text))
    corpora = [corpus] if scored is corpus else [corpus, scored]
    check_trials(suite, plans)
    check_memory(plans, corpus)
    check_labels(suite.evaluate, corpora[-1])
    _open_folder(out, suite)
    for corpus in corpora:
        display.note(as_note(summarise(corpus)))
    problem = unscorable(suite.evaluate, corpora[-1])
    if problem:
        display.note(f"warning: {problem}")
    for warning in grid.warnings or (() if grid.known else (HINT,)):
        display.note(warning)
    summary = RunSummary(out)
    with _lock(out), _resumable(out):
        for corpus in corpora:
            _prepare_audio(corpus, display)
        for plan in plans:
            _mend(out / plan.folder_name, display)
        waiting = [plan for plan in plans if not _finished(out / plan.folder_name)]
        summary.skipped = [plan.folder_name for plan in plans if plan not in waiting]
        if summary.skipped:
            display.note(
                f"{len(summary.skipped)} of {len(plans)} trials already have a result; nothing to train for them"
            )
        _recount(out, plans, suite, grid, display)
        if len(waiting) > 1:
            _warm_up(display)
        clock = _clock(waiting, suite)
        for number, plan in enumerate(waiting, start=1):
            if words := clock.end_words():
                display.note(words)
            began = time.monotonic()
            display.trial(plan.folder_name, number, len(waiting))
            _run_trial(out, plan, suite, corpora, grid, argv, display, summary)
            clock.ended(time.monotonic() - began)
            if suite.protocol.cooldown_seconds and number < len(waiting):
                time.sleep(suite.protocol.cooldown_seconds)
    return summary


def _clock(waiting: Sequence[TrialPlan], suite: Suite) -> SuiteClock:
    """Foresee the suite's end from the first trial on where the budget is seconds, else from the second."""
    around_s = suite.protocol.idle_seconds + suite.protocol.cooldown_seconds + AROUND_TRAINING_S
    trained_s = suite.budget.limit + around_s if suite.budget.kind == "seconds" else None
    kinds = [plan.control.partition(":")[0] or plan.label for plan in waiting]
    guess_s = {kind: around_s if plan.control else trained_s for kind, plan in zip(kinds, waiting, strict=True)}
    return SuiteClock(kinds, guess_s)


def _go_on(out: Path) -> str:
    return f"go on with: greenbench run --resume {shlex.quote(str(out))}"


@contextmanager
def _resumable(out: Path) -> Iterator[None]:
    """Say how to go on where the user stops between trials, too."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted; {_go_on(out)}") from error


_EVERY_TRIAL_LOADS = "import greenbench.trial.worker, greenbench.evaluate"


def _warm_up(display: Display) -> None:
    """Load once, outside all trials, what each of them loads: else the first pays for reading it from the disk.

    Measured on two cores: a setup of 103 J in the first trial against 24 to 30 J in those after it.
    """
    display.note("warming up: loading once, outside every trial, what each of them loads")
    subprocess.run([sys.executable, "-c", _EVERY_TRIAL_LOADS], check=False, stderr=subprocess.DEVNULL)


def _find_grid(suite: Suite) -> Grid:
    """Look up the grid before anything is written, and refuse a budget that could not be kept."""
    grid = find_grid(suite.carbon)
    if suite.budget.kind == "grams_co2e" and grid.hours is not None and grid.at() is None:
        raise ConfigError(
            f"[budget] grams_co2e: {grid.hours.source} has no row for this hour; append it, or set [carbon] region, "
            "whose factor steps in"
        )
    return grid


def _run_trial(
    out: Path,
    plan: TrialPlan,
    suite: Suite,
    corpora: list[Corpus],
    grid: Grid,
    argv: Sequence[str],
    display: Display,
    summary: RunSummary,
) -> None:
    # A live answer belongs to its hour: every new trial asks anew, and the cache answers within the hour.
    folder = out / plan.folder_name
    now = find_grid(suite.carbon) if suite.carbon.live_zone and not (folder / MANIFEST).exists() else grid
    trial = open_trial(folder, plan, suite, corpora, now, argv)
    try:
        finished = execute(trial, suite, display)
    except TrialFailed as error:
        reason = str(error).removeprefix(f"{plan.folder_name}: ")
        summary.failed[plan.folder_name] = reason
        display.done(f"FAILED: {reason}")
    except (Interrupted, KeyboardInterrupt) as error:
        raise Interrupted(f"interrupted in {plan.folder_name}; {_go_on(out)}") from error
    else:
        summary.trained.append(plan.folder_name)
        display.done(closing_line(finished))


def closing_line(trial: Trial) -> str:
    """Say in one line what a trial came to: quality, energy with its mark, time."""
    scores = ((name, trial.figure(name)) for name, metric in METRICS.items() if metric.quality)
    parts = [f"{METRICS[name].label} {format_value(name, score)}" for name, score in scores if score is not None]
    budgeted_j = trial.figure("energy_budgeted_j")
    energy_j = trial.figure("energy_total_j") if budgeted_j is None else budgeted_j
    if energy_j is not None:
        parts.append(f"{format_si(energy_j, 'J')} {trial.text('energy_source')}")
    return "done, " + ", ".join([*parts, format_duration(trial.figure("wall_s"))])


def _mend(folder: Path, display: Display) -> None:
    """Compute a damaged result again from the trial's journals, which cost joules to write and are mostly whole."""
    if not (folder / RESULT).exists():
        return
    try:
        load_trial(folder)
    except DataError as error:
        recover(folder)
        done = "computed again from its journals" if (folder / RESULT).exists() else "put aside; the trial goes on"
        display.note(f"{error.problem}: {done}")


def _recount(out: Path, plans: Sequence[TrialPlan], suite: Suite, grid: Grid, display: Display) -> None:
    """Hold trials that were begun with another ``[carbon]`` to the present one: emissions follow from joules."""
    begun = [load_trial(out / p.folder_name) for p in plans if (out / p.folder_name / MANIFEST).exists()]
    changed = [
        trial
        for trial in begun
        if trial.config and trial.config.carbon != suite.carbon and trial.manifest.schema_version == SCHEMA_VERSION
    ]
    if not changed:
        return
    if suite.carbon.live_zone:
        display.note("emissions of earlier trials stay as they are: a live zone answers for the present hour alone")
        return
    for trial in changed:
        recount(trial, suite.carbon, grid)
    display.note(f"counted emissions of {len(changed)} trial(s) anew: [carbon] has changed since they began")


def _finished(folder: Path) -> bool:
    return (folder / RESULT).exists() and read_json(folder / RESULT).get("status") == "ok"


def _prepare_audio(corpus: Corpus, display: Display) -> None:
    started = time.monotonic()
    prepare_waveforms(corpus, workers=len(os.sched_getaffinity(0)), progress=None)
    if (elapsed := time.monotonic() - started) > 1:
        display.note(f"decoded {corpus.name} in {elapsed:.0f} s (once per corpus, outside every budget)")


def _open_folder(out: Path, suite: Suite) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"--out {out}: cannot be written ({error.strerror}); free space or choose another folder"
        ) from error
    path = out / SUITE_FILE
    if path.exists():
        _refuse_other_suite(path, suite)
    elif any(p.name != ".lock" and not p.name.startswith(SUITE_FILE) for p in out.iterdir()):
        raise OutputError(f"--out {out}: holds other files and no {SUITE_FILE}; choose an empty or new folder")
    # A kill between opening and writing must not leave an empty suite, which no later command would fit.
    write_whole(path, suite.to_toml())


def _refuse_other_suite(path: Path, suite: Suite) -> None:
    """A folder may grow by models and seeds; anything else that changes a result needs a folder of its own.

    ``[carbon]`` changes none, unless the budget is in grams.
    """
    old, new = as_table(suite_from_table(read_toml(path), str(path))), as_table(suite)
    in_grams = ("carbon",) if suite.budget.kind == "grams_co2e" else ()
    for section in ("suite", "budget", "train", "evaluate", *in_grams):
        for key in sorted({*old[section], *new[section]}):
            before, after = old[section].get(key), new[section].get(key)
            if before != after and not (section == "suite" and key in _GROWING):
                raise ConfigError(
                    f"{path}: holds a run with {section}.{key} = {before!r}, asked for {after!r}; choose another --out"
                )


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(f"{out}: another greenbench run works in this folder; wait for it or stop it") from error
        yield

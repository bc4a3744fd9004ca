"""``greenbench run`` and ``greenbench plan``."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenbench.cli.options import AsJson, Out, Override, SuiteName, emit

if TYPE_CHECKING:
    from greenbench.config import Suite
    from greenbench.runner import RunSummary


Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="Use seeds 0..N-1; 5 or more decide.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]


def run(
    suite: SuiteName = "quickstart",
    *,
    out: Out = None,
    override: Override = None,
    seeds: Seeds = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="DIR", help="Go on with an interrupted run folder.")
    ] = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Leave the report to `greenbench report`, once for several folders.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train and evaluate a suite under one budget, then report. The same command resumes what was interrupted."""
    from greenbench.config import SUITE_FILE, load_suite
    from greenbench.errors import ConfigError
    from greenbench.extras import DRAWING, TRAINING, require
    from greenbench.records.folder_names import new_run_folder

    require("run", (*TRAINING, *(() if no_report else DRAWING)))

    if resume is not None and out is not None:
        raise ConfigError(f"--resume {resume} and --out {out}: a resumed run goes on in its folder; leave --out away")
    overrides = [*(override or ()), *seeds_override(seeds)]
    if resume is not None:
        if not (resume / SUITE_FILE).exists():
            raise ConfigError(f"--resume {resume}: holds no {SUITE_FILE}; give a folder written by greenbench run")
        loaded = load_suite(str(resume / SUITE_FILE), overrides)
    else:
        loaded = load_suite(suite, overrides)
    folder = resume or out or new_run_folder(loaded.suite.name)
    summary = _train(loaded, folder, quiet=quiet)
    html = _report([folder], folder / "report") if summary.finished and not no_report else None
    if as_json:
        facts = {"trained": summary.trained, "skipped": summary.skipped, "failed": summary.failed}
        emit({"out": str(folder), **facts, "report": html and str(html)})
    elif not summary.trained and not summary.failed:
        print(f"nothing to train: all {len(summary.skipped)} trials in {folder} have a result")
    _close([summary], html, as_json=as_json)


def curve(
    suite: SuiteName = "quickstart",
    *,
    shares: Annotated[
        str, typer.Option("--shares", metavar="LIST", help="Parts of the suite's budget, each trained anew.")
    ] = "1/16,1/4,1",
    out: Out = None,
    override: Override = None,
    seeds: Seeds = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a suite at parts of its budget and report error against budget, with the verdicts at each.

    Every part is a training of its own with its own schedule, in a run folder of its own, smallest first. The same
    command with the same --out resumes what was interrupted.
    """
    from greenbench.config import load_suite
    from greenbench.extras import DRAWING, TRAINING, require
    from greenbench.records.folder_names import new_run_folder

    require("curve", (*TRAINING, *DRAWING))
    loaded = load_suite(suite, [*(override or ()), *seeds_override(seeds)])
    folder = out or new_run_folder(f"curve-{loaded.suite.name}")
    # By their folders: of few steps, two parts may round up to the same.
    parts = {_folder_of(part, folder): part for part in map(loaded.with_budget, parse_shares(shares))}
    summaries = [_train(part, place, quiet=quiet) for place, part in parts.items()]
    finished = [summary.out for summary in summaries if summary.finished]
    html = _report(finished, folder / "report") if finished else None
    if as_json:
        emit({"out": str(folder), "runs": [str(place) for place in parts], "report": html and str(html)})
    _close(summaries, html, as_json=as_json)


def parse_shares(text: str) -> list[float]:
    """Parts of a budget, such as ``1/16,1/4,1``, in ascending order; each above 0 and at most 1."""
    from fractions import Fraction

    from greenbench.errors import ConfigError

    try:
        shares = sorted({float(Fraction(part.strip())) for part in text.split(",")})
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"--shares {text}: expected parts of the budget, for example 1/16,1/4,1") from error
    if shares[0] <= 0 or shares[-1] > 1:
        raise ConfigError(f"--shares {text}: every part must lie above 0 and at most at 1, the suite's whole budget")
    return shares


def _folder_of(part: Suite, folder: Path) -> Path:
    return folder / f"{part.budget.kind}-{part.budget.limit:g}"


def seeds_override(count: int | None) -> list[str]:
    """What ``--seeds COUNT`` overrides in a suite; nothing where it was not given."""
    return [] if count is None else [f"suite.seeds=[{', '.join(map(str, range(count)))}]"]


def _train(suite: Suite, folder: Path, *, quiet: bool) -> RunSummary:
    from greenbench.display import pick_display

    display = pick_display(suite.budget.kind, suite.budget.limit, quiet=quiet)
    # Batch systems ask to end with SIGTERM; it is worth a checkpoint, as Ctrl-C is.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Shown before torch is loaded, which takes seconds.
        display.busy(f"{suite.suite.name}: loading, then looking at data and models")
        from greenbench.runner import run_suite

        return run_suite(suite, folder, argv=["greenbench", *sys.argv[1:]], display=display)
    finally:
        signal.signal(signal.SIGTERM, before)
        display.close()


def _report(folders: Sequence[Path], out: Path) -> Path:
    from greenbench.report import write_report

    return write_report(folders, out).html


def _close(summaries: Sequence[RunSummary], html: Path | None, *, as_json: bool) -> None:
    """Name the failed trials and the report; end with exit code 4 where any failed."""
    failed = [summary for summary in summaries if summary.failed]
    if not as_json:
        for summary in failed:
            for name, reason in summary.failed.items():
                print(f"greenbench: trial failed: {name}: {reason}", file=sys.stderr)
        if html:
            print(f"report: {html}")
    for summary in failed:
        again = f"greenbench run --resume {shlex.quote(str(summary.out))}"
        print(f"greenbench: try the failed trials again with: {again}", file=sys.stderr)
    if failed:
        raise typer.Exit(4)


def plan(
    suite: SuiteName = "quickstart",
    *,
    override: Override = None,
    history: Annotated[
        list[Path] | None, typer.Option("--history", metavar="RUNS", help="Take speed and power from earlier runs.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the trials with predicted time, memory, FLOPs and kWh; run nothing."""
    from greenbench.carbon import find_grid
    from greenbench.config import load_suite
    from greenbench.corpora.apart import load_both
    from greenbench.plan import expand, predict, print_plan
    from greenbench.preflight import check_labels, check_memory, check_trials, unscorable
    from greenbench.records import find_trials
    from greenbench.units import JOULES_PER_KWH

    loaded = load_suite(suite, override or ())
    grid = find_grid(loaded.carbon)
    factor = grid.forecast()
    for warning in grid.warnings:
        print(f"greenbench: {warning}", file=sys.stderr)
    plans = expand(loaded)
    check_trials(loaded, plans)
    corpus, scored = load_both(loaded.suite.data, loaded.evaluate.data)
    check_memory(plans, corpus)
    check_labels(loaded.evaluate, scored)
    problem = unscorable(loaded.evaluate, scored)
    if problem:
        print(f"greenbench: warning: {problem}", file=sys.stderr)
    audio_s = sum(u.duration_s for u in corpus.split("pretrain"))
    scored_s = {
        side: sum(u.duration_s for u in scored.split(split))
        for side, split in (("train", "train"), ("test", loaded.evaluate.split))
    }
    prediction = predict(
        loaded,
        plans,
        history=find_trials(history or []),
        grams_per_joule=factor.g_per_kwh / JOULES_PER_KWH if factor else None,
        pretrain_audio_s=audio_s,
        scored_audio_s=scored_s,
    )
    emit(prediction) if as_json else print_plan(prediction)

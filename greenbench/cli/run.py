"""``greenbench run`` and ``greenbench plan``."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from greenbench.cli.options import AsJson, Out, Override, SuiteName, emit


def run(
    suite: SuiteName = "quickstart",
    *,
    out: Out = None,
    override: Override = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Use seeds 0..N-1; 5 or more decide.")] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="DIR", help="Go on with an interrupted run folder.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train and evaluate a suite under one budget, then report. The same command resumes what was interrupted."""
    from greenbench.config import SUITE_FILE, load_suite
    from greenbench.display import pick_display
    from greenbench.errors import ConfigError
    from greenbench.extras import DRAWING, TRAINING, require

    require("run", (*TRAINING, *DRAWING))

    if resume is not None and out is not None:
        raise ConfigError(f"--resume {resume} and --out {out}: a resumed run goes on in its folder; leave --out away")
    overrides = list(override or ())
    if seeds is not None:
        overrides.append(f"suite.seeds=[{', '.join(map(str, range(seeds)))}]")
    if resume is not None:
        if not (resume / SUITE_FILE).exists():
            raise ConfigError(f"--resume {resume}: holds no {SUITE_FILE}; give a folder written by greenbench run")
        loaded = load_suite(str(resume / SUITE_FILE), overrides)
    else:
        loaded = load_suite(suite, overrides)
    display = pick_display(loaded.budget.kind, loaded.budget.limit, quiet=quiet)
    # Batch systems ask to end with SIGTERM; it is worth a checkpoint, as Ctrl-C is.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Shown before torch is loaded, which takes seconds.
        display.busy(f"{loaded.suite.name}: loading, then looking at data and models")
        from greenbench.runner import default_out, run_suite

        folder = resume or out or default_out(loaded)
        summary = run_suite(loaded, folder, argv=["greenbench", *sys.argv[1:]], display=display)
    finally:
        signal.signal(signal.SIGTERM, before)
        display.close()
    finished = [*summary.trained, *summary.skipped]
    html = _report(folder) if finished else None
    if as_json:
        facts = {"trained": summary.trained, "skipped": summary.skipped, "failed": summary.failed}
        emit({"out": str(folder), **facts, "report": html and str(html)})
    else:
        if not summary.trained and not summary.failed:
            print(f"nothing to train: all {len(summary.skipped)} trials in {folder} have a result")
        for name, reason in summary.failed.items():
            print(f"greenbench: trial failed: {name}: {reason}", file=sys.stderr)
        if html:
            print(f"report: {html}")
    if summary.failed:
        print(
            f"greenbench: try the failed trials again with: greenbench run --resume {shlex.quote(str(folder))}",
            file=sys.stderr,
        )
        raise typer.Exit(4)


def _report(folder: Path) -> Path:
    from greenbench.report import write_report

    return write_report([folder], folder / "report").html


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
    from greenbench.preflight import check_labels, check_trials, unscorable
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

"""The verbs that read run folders: ``report``, ``compare``, ``check``, ``baseline``, ``export``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from greenbench.cli.carbon_options import Intensity
from greenbench.cli.options import AsJson, Region, Runs, emit

Baseline = Annotated[str | None, typer.Option("--baseline", help="The model all others are held against.")]


def report(
    runs: Runs,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")] = Path("report"),
    baseline: Baseline = None,
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="Show different hardware side by side; claim nothing across.")
    ] = False,
    region: Region = None,
    intensity: Intensity = None,
    price: Annotated[
        float | None, typer.Option("--price", metavar="PER_KWH", help="What a kWh costs, in your currency.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write index.html, CSV, Markdown, LaTeX and figures of run folders."""
    from greenbench.extras import DRAWING, require
    from greenbench.report import write_report
    from greenbench.report.afterwards import Afterwards

    require("report", DRAWING)
    paths = write_report(
        runs,
        out,
        across_machines=across_machines,
        baseline=baseline,
        afterwards=Afterwards(region, intensity, price),
        pdf=True,
    )
    if as_json:
        emit({name: str(path) for name, path in vars(paths).items()})
    else:
        print(f"report: {paths.html}")


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="Run folder, or FOLDER:MODEL for one model of it.")],
    new: Annotated[
        Path | None, typer.Argument(metavar="NEW", help="Run folder, or FOLDER:MODEL for one model of it.")
    ] = None,
    *,
    along: Annotated[
        bool, typer.Option("--ladder", help="Hold each model of BASE against the one before it in its suite.")
    ] = False,
    random: Annotated[
        bool, typer.Option("--own-random", help="Hold each model of BASE against its own random weights.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two runs metric by metric, paired by seed: better, worse, no difference shown, not enough runs."""
    from greenbench.compare import compare as compare_trials
    from greenbench.compare import ladder, own_random, print_comparisons, print_ladder, print_own_random
    from greenbench.errors import ConfigError, DataError

    folder = str(base).rpartition(":")[0]
    if not base.exists() and not (folder and Path(folder).exists()):
        raise DataError(f"compare: {base}: no such run folder")
    if along + random + (new is not None) != 1:
        raise ConfigError("compare: give BASE and NEW, or one run folder and --ladder or --own-random")
    if random:
        result = own_random(_select(base))
        emit(result) if as_json else print_own_random(result)
        return
    if new is None:
        result = ladder(_select(base))
        emit(result) if as_json else print_ladder(result)
        return
    result = compare_trials(_select(base), _select(new))
    emit(result) if as_json else print_comparisons(result)


def _select(argument: Path) -> list[Any]:
    """Load a run folder; ``FOLDER:MODEL`` keeps the trials of one model."""
    from greenbench.errors import DataError, did_you_mean
    from greenbench.records import find_trials

    text = str(argument)
    folder, separator, label = text.rpartition(":")
    if argument.exists() or not separator:
        return find_trials([argument])
    trials = find_trials([Path(folder)])
    chosen = [t for t in trials if t.label == label]
    if not chosen:
        raise DataError(f"{folder}: no model {label!r}{did_you_mean(label, {t.label for t in trials})}")
    return chosen


def check(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="RUNS...", help="Run folders.")] = None,
    *,
    budgets: Annotated[Path, typer.Option("--budgets", metavar="FILE", help="Budgets and limits.")] = Path(
        "budgets.toml"
    ),
    baseline: Annotated[Path | None, typer.Option("--baseline", metavar="FILE", help="Accepted baseline.")] = None,
    static: Annotated[
        bool, typer.Option("--static", help="Only what can be counted without training: FLOPs, parameters, memory.")
    ] = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")] = None,
    badge: Annotated[Path | None, typer.Option("--badge", metavar="FILE", help="Write an SVG badge.")] = None,
    bencher: Annotated[Path | None, typer.Option("--bencher", metavar="FILE", help="Write Bencher JSON.")] = None,
    benchmark: Annotated[
        Path | None, typer.Option("--benchmark", metavar="FILE", help="Write github-action-benchmark JSON.")
    ] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Print annotations and write the step summary of GitHub Actions.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hold runs against budgets and a baseline; exit 0 pass, 1 fail, 3 not decidable."""
    from greenbench.check import check as check_runs
    from greenbench.check import printers

    result = check_runs(runs or [], budgets, baseline, static=static)
    printers.write_outputs(result, junit=junit, badge_svg=badge, bencher_json=bencher, benchmark_json=benchmark)
    if github:
        print(printers.write_github(result), file=sys.stderr)
    emit(result) if as_json else print(printers.table(result))
    raise typer.Exit(int(result["exit_code"]))


baseline_app = typer.Typer(no_args_is_help=True, help="Accept runs or counted costs as the baseline of checks.")


@baseline_app.callback()
def _baseline() -> None:
    """Accept runs or counted costs as the baseline of checks."""


@baseline_app.command("accept")
def baseline_accept(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="RUNS...", help="Run folders.")] = None,
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="Baseline to write.")] = Path(
        "baseline.json"
    ),
    budgets: Annotated[
        Path | None, typer.Option("--budgets", metavar="FILE", help="Count the static costs these cover, too.")
    ] = None,
    static: Annotated[bool, typer.Option("--static", help="Count the static costs that budgets.toml covers.")] = False,
) -> None:
    """Write the versioned baseline that later checks compare with."""
    from greenbench.check import accept_static
    from greenbench.check.baseline import accept
    from greenbench.errors import ConfigError

    if static and budgets is None:
        budgets = Path("budgets.toml")
    if not runs and budgets is None:
        raise ConfigError("baseline accept: nothing to accept; give run folders, --budgets FILE, or both")
    accepted = accept_static(budgets, out, runs=runs or []) if budgets else accept(runs or [], out)
    print(f"baseline: {out} ({len(accepted.runs)} run series, {len(accepted.static)} counted models)")


def export(
    runs: Runs,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="Format; an unknown one lists those there are.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder to write; default stdout.")] = None,
) -> None:
    """Write runs in other people's formats; several JSON files go to stdout as one document, by name."""
    from greenbench.exports import export as export_runs

    files = export_runs(runs, to, out)
    if out is None and len(files) > 1 and all(name.endswith(".json") for name in files):
        emit({name: json.loads(text) for name, text in files.items()})
        return
    for name, text in files.items():
        print(out / name if out else text)

"""The verbs: parse, call, print. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from greenbench.errors import GreenbenchError, Interrupted

app = typer.Typer(
    name="greenbench", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Same budget, which way of learning speech representations gives the best features per joule?",
)  # fmt: skip

Override = Annotated[
    Optional[list[str]], typer.Option("-o", "--override", metavar="SECTION.KEY=VALUE", help="Override any suite key.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Out = Annotated[Optional[Path], typer.Option("--out", help="Folder to write.")]
SuiteName = Annotated[str, typer.Argument(metavar="[SUITE]", help="A built-in suite or a TOML file.")]


def emit(value: Any) -> None:
    """Print JSON to stdout."""
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))


@app.command()
def run(
    suite: SuiteName = "quickstart",
    out: Out = None,
    override: Override = None,
    resume: Annotated[Optional[Path], typer.Option("--resume", help="Go on with an interrupted run folder.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train and evaluate a suite under one budget, then report; resumes what was interrupted."""
    from greenbench.config import load_suite
    from greenbench.progress import pick_display
    from greenbench.report import write_report
    from greenbench.runner import SUITE_FILE, default_out, run_suite

    if resume is not None:
        loaded, folder = load_suite(str(resume / SUITE_FILE), override or ()), resume
    else:
        loaded = load_suite(suite, override or ())
        folder = out or default_out(loaded)
    display = pick_display(loaded.budget.kind, loaded.budget.limit, quiet=quiet)
    try:
        summary = run_suite(loaded, folder, sys.argv, display)
    finally:
        display.close()
    paths = write_report([folder], folder / "report")
    if as_json:
        emit({"out": str(folder), "trained": summary.trained, "skipped": summary.skipped, "failed": summary.failed})
    else:
        print(f"report: {paths.html}")
    if summary.failed:
        raise typer.Exit(4)


def main() -> None:
    """Run the command line; errors become one line on stderr and their exit code."""
    try:
        app(standalone_mode=False)
    except GreenbenchError as error:
        print(f"greenbench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("greenbench: interrupted", file=sys.stderr)
        sys.exit(Interrupted.exit_code)

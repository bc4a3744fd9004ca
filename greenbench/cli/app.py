"""The command line as a whole: its verbs, its errors and their exit codes."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from greenbench import __version__
from greenbench.cli import catalogue, init, meter, read, run, storage
from greenbench.errors import ConfigError, GreenbenchError, Interrupted, OutputError, TrialFailed, is_out_of_memory
from greenbench.extras import missing_library


class _Verbs(TyperGroup):
    """The verbs; Ctrl-C in one of them is an error of ours, which typer would end without a word."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb.

        Raises:
            Interrupted: the user stopped it.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Interrupted("interrupted") from error


app = typer.Typer(
    name="greenbench",
    cls=_Verbs,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Under the same budget, which way of learning speech representations gives the best features per joule?",
)
# typer carries a click of its own since 0.16; this base class of usage errors is the one it raises either way.
ClickException: type[Exception] = typer.BadParameter.__mro__[2]
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


@app.callback(invoke_without_command=True)
def _options(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False
) -> None:
    """Under the same budget, which way of learning speech representations gives the best features per joule?"""
    if version:
        print(f"greenbench {__version__}")
        raise typer.Exit


app.command()(run.run)
app.command()(run.curve)
app.command()(run.plan)
app.command()(init.init)
app.command()(read.report)
app.command()(read.compare)
app.command()(read.check)
app.add_typer(read.baseline_app, name="baseline")
app.command()(read.export)
app.command(context_settings=PASS_THROUGH)(meter.measure)
app.command()(meter.doctor)
app.command()(catalogue.models)
app.command()(catalogue.cost)
app.command()(catalogue.data)
app.command()(catalogue.suites)
app.command()(storage.cache)


def _print_usage_error(error: Any) -> None:
    """Print one line: what is wrong, and where help is; a command without anything prints its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    command = error.ctx.command_path if getattr(error, "ctx", None) else "greenbench"
    text = " ".join(error.format_message().split())
    print(f"{command}: {text.rstrip('.')} ({command} --help)", file=sys.stderr)


def main(argv: list[str] | None = None) -> None:
    """Run the command line; every foreseen error is one line on stderr and an exit code."""
    # Threads of OpenMP that wait by spinning cost more than some verbs' work; torch reads this when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        code = app(args=argv, standalone_mode=False)
    except GreenbenchError as error:
        print(f"greenbench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        missing = missing_library(error)
        if missing is None:
            raise
        print(f"greenbench: {missing}", file=sys.stderr)
        sys.exit(ConfigError.exit_code)
    except ClickException as error:
        _print_usage_error(error)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        print("greenbench: interrupted", file=sys.stderr)
        sys.exit(Interrupted.exit_code)
    except BrokenPipeError:
        # The reader of our output (head, less) went away: nothing is wrong here.
        sys.stderr.close()
        sys.exit(0)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        text = "out of memory; shorter crops, smaller batches or a smaller model need less"
        print(f"greenbench: {text}", file=sys.stderr)
        sys.exit(TrialFailed.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"greenbench: {where}{error.strerror or error}; check the path and its permissions", file=sys.stderr)
        sys.exit(OutputError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)

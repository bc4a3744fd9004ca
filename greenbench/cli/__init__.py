"""The verbs: parse, call, print. Nothing heavy is imported before a verb runs."""

from greenbench.cli.app import app, main

__all__ = ["app", "main"]

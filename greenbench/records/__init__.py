"""The run folder as typed values: what a trial was asked, what it measured, and how both are written and read back.

``manifest.json`` is written first and once; journals (``events.jsonl``, ``metrics.jsonl``) are append-only with one
line per write; ``result.json`` is written last and atomically, so its presence is the completion marker.
"""

from greenbench.records.events import BUDGETED_PHASES, PHASES, PhaseSpan, phase_spans
from greenbench.records.files import (
    CHECKPOINTS,
    EVENTS,
    LIVE,
    MANIFEST,
    METRICS,
    OUTCOME,
    POWER,
    RESULT,
    SCHEMA_VERSION,
    read_json,
    write_json,
)
from greenbench.records.journal import Journal, read_jsonl
from greenbench.records.trial import Trial, find_trials, load_trial

__all__ = [
    "BUDGETED_PHASES",
    "CHECKPOINTS",
    "EVENTS",
    "LIVE",
    "MANIFEST",
    "METRICS",
    "OUTCOME",
    "PHASES",
    "POWER",
    "RESULT",
    "SCHEMA_VERSION",
    "Journal",
    "PhaseSpan",
    "Trial",
    "find_trials",
    "load_trial",
    "phase_spans",
    "read_json",
    "read_jsonl",
    "write_json",
]

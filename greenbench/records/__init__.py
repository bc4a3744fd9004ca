"""The run folder as typed values: what a trial was asked, what it measured, and how both are written and read back.

``manifest.json`` is written first and once; journals (``events.jsonl``, ``metrics.jsonl``) are append-only with one
line per write; ``result.json`` is written last and atomically, so its presence is the completion marker.
"""

from greenbench.records.events import BUDGETED_PHASES, PHASES, Event, PhaseSpan, phase_spans, read_events
from greenbench.records.files import (
    CARBON,
    CHECKPOINTS,
    EVENTS,
    LIVE,
    MANIFEST,
    METRICS,
    OUTCOME,
    POWER,
    RESULT,
    SCHEMA_VERSION,
    SENSORS,
    number,
    read_json,
    write_json,
    write_whole,
)
from greenbench.records.journal import Journal, read_jsonl
from greenbench.records.manifest import CarbonPlan, DataSummary, GitState, Host, Manifest
from greenbench.records.outcome import Outcome, read_outcome
from greenbench.records.result import RanOn, Result
from greenbench.records.sensors import Gpu, Sensors
from greenbench.records.trial import Trial, find_trials, load_trial, trial_folders

__all__ = [
    "BUDGETED_PHASES",
    "CARBON",
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
    "SENSORS",
    "CarbonPlan",
    "DataSummary",
    "Event",
    "GitState",
    "Gpu",
    "Host",
    "Journal",
    "Manifest",
    "Outcome",
    "PhaseSpan",
    "RanOn",
    "Result",
    "Sensors",
    "Trial",
    "find_trials",
    "load_trial",
    "number",
    "phase_spans",
    "read_events",
    "read_json",
    "read_jsonl",
    "read_outcome",
    "trial_folders",
    "write_json",
    "write_whole",
]

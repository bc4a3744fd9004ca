"""The first file of a trial: what it is asked to do, where, and with which code and data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from greenbench.carbon import Grid
from greenbench.cards import ModelSpec, resolve
from greenbench.config import Suite
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.summary import summarise
from greenbench.plan import TrialPlan
from greenbench.records import MANIFEST, SCHEMA_VERSION, DataSummary, Manifest, Trial, load_trial
from greenbench.records.host import describe_host, git_state, package_versions
from greenbench.schema import build
from greenbench.trial.emissions import carbon_plan


def open_trial(
    folder: Path, plan: TrialPlan, suite: Suite, corpora: Sequence[Corpus], grid: Grid, argv: Sequence[str]
) -> Trial:
    """Take up a trial: a new one gets its folder and its manifest, an interrupted one is loaded as it lies there.

    ``corpora`` holds the corpus to pretrain on and, where it is another one, the corpus to score on.

    Raises:
        OutputError: the manifest cannot be written.
        DataError: the folder is damaged.
    """
    folder.mkdir(exist_ok=True)
    if not (folder / MANIFEST).exists():
        manifest_of(folder.name, plan, suite, corpora, grid, argv).write(folder / MANIFEST)
    return load_trial(folder)


def manifest_of(
    folder_name: str, plan: TrialPlan, suite: Suite, corpora: Sequence[Corpus], grid: Grid, argv: Sequence[str]
) -> Manifest:
    """Put together all that is known before a trial runs."""
    spec = contestant(plan, suite)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        suite=suite.suite.name,
        label=plan.label,
        card=spec.card,
        family=plan.family,
        size=plan.size,
        seed=plan.seed,
        control=plan.control,
        folder=folder_name,
        argv=tuple(argv),
        config=suite,
        spec=spec,
        train=plan.train,
        config_hash=plan.config_hash,
        git=git_state(),
        packages=package_versions(),
        host=describe_host(),
        data=_data(corpora[0]),
        evaluate_data=_data(corpora[-1]),
        carbon=carbon_plan(grid, suite.carbon),
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )


def contestant(plan: TrialPlan, suite: Suite) -> ModelSpec:
    """Look up the model behind a trial; the control ``logmel`` is a card too."""
    return plan.spec or resolve(plan.control, suite.suite.size)


def _data(corpus: Corpus) -> DataSummary:
    known = {f.name for f in fields(DataSummary)}
    summary = {key: value for key, value in summarise(corpus).items() if key in known}
    facts = {"spec": corpus.spec, "fingerprint": corpus.fingerprint, "extra": corpus.extra}
    return build(DataSummary, {**summary, **facts}, f"data {corpus.spec}", lenient=True)

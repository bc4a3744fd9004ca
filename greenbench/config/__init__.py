"""Suites: what is compared, under which budget, trained and scored how; read from TOML and checked."""

from greenbench.config.sections import (
    CURRENCIES,
    GENERATED,
    Augmentation,
    BudgetSection,
    CarbonSection,
    EvaluateSection,
    PowerSection,
    SuiteSection,
    TrainSection,
)
from greenbench.config.suite import (
    SUITE_FILE,
    Suite,
    builtin_suites,
    digest,
    load_suite,
    model_options,
    suite_from_table,
)

__all__ = [
    "CURRENCIES",
    "GENERATED",
    "SUITE_FILE",
    "Augmentation",
    "BudgetSection",
    "CarbonSection",
    "EvaluateSection",
    "PowerSection",
    "Suite",
    "SuiteSection",
    "TrainSection",
    "builtin_suites",
    "digest",
    "load_suite",
    "model_options",
    "suite_from_table",
]

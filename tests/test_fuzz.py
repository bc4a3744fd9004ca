"""Ten thousand wrong and hostile inputs for all readers; ``python -m benchmarks.fuzz`` tries as many as one likes."""

from __future__ import annotations

import pytest

from tests.fuzzing.campaign import fuzz
from tests.fuzzing.targets import TARGETS


@pytest.mark.slow
def test_no_input_is_a_traceback_a_hang_a_wrong_pass_or_a_stray_file() -> None:
    found = fuzz(seed=21, numbers=range(10_000))
    assert [f"{fault.target} {fault.number}: {fault.kind}" for fault in found.faults] == []
    # It can only find something where inputs are both taken and refused.
    for target in TARGETS:
        assert found.inputs[target] == 1250
    assert all(found.refused[target] < found.inputs[target] for target in TARGETS)
    assert all(found.refused[target] for target in ("suites", "cards", "budgets", "manifests", "run folders"))

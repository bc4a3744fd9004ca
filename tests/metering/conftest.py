from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def only_what_the_test_sets_up(no_real_sensors: None) -> None:
    """Whatever sensors the testing machine has, the tests of this folder see only their own."""

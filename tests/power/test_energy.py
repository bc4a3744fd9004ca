"""The one value for energy: its sums are exact, and neither absence nor a flaw is ever lost in one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.power.energy import Energy, mix_kinds

joules = st.floats(0, 1e9)
kinds = st.sampled_from(["measured", "modelled", "mixed"])
problems = st.lists(st.sampled_from(["a gap", "a reset", "a lost card"]), max_size=3).map(tuple)


@st.composite
def known_energies(draw: st.DrawFn) -> Energy:
    middle, below, above = draw(joules), draw(joules), draw(joules)
    ranged = draw(st.booleans())
    low, high = (max(0.0, middle - below), middle + above) if ranged else (None, None)
    return Energy(middle, low, high, draw(joules), draw(kinds), draw(st.booleans()), draw(problems))


unknown_energies = st.builds(lambda why, kind: Energy.unknown(*why, kind=kind), problems, st.none() | kinds)
energies = known_energies() | unknown_energies


def assert_same(one: Energy, other: Energy) -> None:
    for name in ("joules", "low_j", "high_j", "edge_j"):
        a, b = getattr(one, name), getattr(other, name)
        assert a == b if None in (a, b) else a == pytest.approx(b, rel=1e-12)
    assert (one.kind, one.valid) == (other.kind, other.valid)
    assert set(one.problems) == set(other.problems)


@given(energies, energies, energies)
def test_it_does_not_matter_in_which_order_parts_are_added(a: Energy, b: Energy, c: Energy) -> None:
    assert_same((a + b) + c, a + (b + c))
    assert_same(a + b, b + a)
    assert_same(Energy.total([a, b, c]), a + b + c)


@given(st.lists(energies), unknown_energies)
def test_a_total_with_an_unknown_part_is_unknown_and_not_the_sum_of_the_others(
    parts: list[Energy], gap: Energy
) -> None:
    whole = Energy.total([*parts, gap])
    assert whole.joules is whole.low_j is whole.high_j is whole.uncertainty_j is None
    assert not whole.valid


@given(st.lists(energies), unknown_energies)
def test_what_is_known_of_an_incomplete_total_is_told_but_never_valid(parts: list[Energy], gap: Energy) -> None:
    whole = Energy.known([*parts, gap])
    told = [part.joules for part in parts if part.joules is not None]
    assert not whole.valid
    assert whole.joules == (pytest.approx(sum(told)) if told else None)
    assert set(whole.problems) >= set(gap.problems)


@given(st.lists(known_energies(), min_size=1))
def test_a_complete_total_is_valid_exactly_where_every_part_is(parts: list[Energy]) -> None:
    assert Energy.total(parts).valid == Energy.known(parts).valid == all(part.valid for part in parts)
    assert set(Energy.total(parts).problems) == {problem for part in parts for problem in part.problems}


@given(st.lists(known_energies(), min_size=1))
def test_ranges_hold_their_figure_and_add_up(parts: list[Energy]) -> None:
    whole = Energy.total(parts)
    assert whole.joules is not None
    if whole.low_j is not None and whole.high_j is not None:
        assert whole.low_j <= whole.joules * (1 + 1e-12)
        assert whole.joules <= whole.high_j * (1 + 1e-12)
        exact = sum(part.joules or 0.0 for part in parts if part.high_j is None)
        assert whole.high_j == pytest.approx(sum(part.high_j for part in parts if part.high_j is not None) + exact)
    assert (whole.uncertainty_j is None) == all(part.uncertainty_j is None for part in parts)


@given(st.lists(kinds, min_size=1))
def test_different_kinds_make_a_mixed_total(found: list[str]) -> None:
    expected = found[0] if len(set(found)) == 1 else "mixed"
    assert Energy.total(Energy(1.0, kind=kind) for kind in found).kind == mix_kinds(found) == expected


@given(known_energies(), st.floats(0.1, 10))
def test_scaling_keeps_the_relative_range(energy: Energy, factor: float) -> None:
    grown = energy.scaled(factor)
    assert grown.joules == pytest.approx(energy.joules * factor)
    if energy.uncertainty_j is not None:
        assert grown.uncertainty_j == pytest.approx(energy.uncertainty_j * factor, abs=1e-5)
    assert (grown.valid, grown.kind, grown.problems) == (energy.valid, energy.kind, energy.problems)


@given(energies)
def test_a_flaw_stays_with_the_figure(energy: Energy) -> None:
    flawed = energy.flawed("the card fell off the bus")
    assert not flawed.valid
    assert flawed.joules == energy.joules
    assert not (flawed + Energy(1.0)).valid
    assert "the card fell off the bus" in (Energy(1.0) + flawed).problems


def test_no_parts_are_not_zero_joules() -> None:
    assert Energy.total([]).joules is None
    assert Energy.known([]).joules is None
    assert not Energy.total([]).valid


@pytest.mark.parametrize("claims", [{"low_j": 0.0}, {"high_j": 1.0}, {"edge_j": 1.0}, {}])
def test_an_unknown_energy_cannot_claim_a_range_or_validity(claims: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="unknown"):
        Energy(None, valid=not claims, **claims)

"""Is the meter's error within the uncertainty that it states? Random loads with exactly known energy say how often.

    python -m benchmarks.meter_uncertainty [--traces 10000] [--seed 1] [--show 5]

Loads are constant, square, ramp, sine, noise and spikes; sensors are refreshed, and counters updated, every 10 to
1,000 ms; windows last 1 to 20 s. The truth is tests/reference/energy.py, in exact fractions. Sensors have no error of
their own here and the tolerance is 0: what is stated is what edges, holding and dividing leave open. A ten-thousandth
is granted beside it, for the loads' flanks of a tenth of a millisecond.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections import defaultdict

from tests.reference.traces import SHAPES, Case, cases, measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=5, help="worst uncovered traces to print")
    options = parser.parse_args()
    rows: dict[tuple[str, bool], list[tuple[float, float, bool]]] = defaultdict(list)
    outside: list[tuple[float, int, Case, float, float]] = []
    invalid = 0
    begin = time.monotonic()
    for number, case in enumerate(itertools.islice(cases(options.seed), options.traces)):
        exact_j = case.exact_j()
        found = measured(case)
        if not found.valid:
            invalid += 1
            continue
        assert found.energy_j is not None
        assert found.uncertainty_j is not None
        error_j = abs(found.energy_j - exact_j)
        within = error_j <= found.uncertainty_j + 1e-4 * exact_j
        rows[case.shape, case.update_s is not None].append(
            (100 * error_j / exact_j, 100 * found.uncertainty_j / exact_j, within)
        )
        if not within:
            excess_j = error_j - found.uncertainty_j
            outside.append((excess_j / exact_j, number, case, error_j / exact_j, found.uncertainty_j / exact_j))
    print(f"{options.traces} traces, seed {options.seed}, {time.monotonic() - begin:.0f} s; {invalid} marked invalid\n")
    heads = ("|error| %: median", "95 %", "stated %: median")
    print(f"{'load':<10}{'counter':<9}{'traces':>7}{'within':>9}{heads[0]:>20}{heads[1]:>8}{heads[2]:>19}")
    for shape, counter in itertools.product(SHAPES, (True, False)):
        found = rows[shape, counter]
        if not found:
            continue
        errors, stated, within = zip(*found, strict=True)
        cells = f"{100 * sum(within) / len(within):8.2f}%{statistics.median(errors):20.3f}"
        cells += f"{sorted(errors)[int(0.95 * len(errors))]:8.2f}{statistics.median(stated):19.3f}"
        print(f"{shape:<10}{'yes' if counter else 'no':<9}{len(found):7d}{cells}")
    every = [row for found in rows.values() for row in found]
    print(f"\nwithin what is stated: {sum(row[2] for row in every)} of {len(every)}")
    for excess, number, case, error, stated in sorted(outside, key=lambda row: -row[0])[: options.show]:
        print(
            f"  trace {number}: {case.shape}, counter {case.update_s}, refresh {case.refresh_s:.3f} s, window "
            f"{case.end_s - case.begin_s:.2f} s: off by {100 * error:.2f} %, stated {100 * stated:.2f} %"
            f" ({100 * excess:.2f} % beyond)"
        )


if __name__ == "__main__":
    main()

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
from dataclasses import dataclass, field

from tests.reference.traces import SHAPES, Case, cases, measured


@dataclass
class Tally:
    """Error and stated uncertainty in per cent and whether one covers the other, by shape and counter."""

    rows: dict[tuple[str, bool], list[tuple[float, float, bool]]] = field(default_factory=lambda: defaultdict(list))
    outside: list[tuple[float, int, Case, float, float]] = field(default_factory=list)
    invalid: int = 0
    done: int = 0

    def add(self, case: Case) -> None:
        exact_j, found = case.exact_j(), measured(case)
        self.done += 1
        if not found.valid or found.energy_j is None or found.uncertainty_j is None:
            self.invalid += 1
            return
        error, stated = abs(found.energy_j - exact_j) / exact_j, found.uncertainty_j / exact_j
        within = error <= stated + 1e-4
        self.rows[case.shape, case.update_s is not None].append((100 * error, 100 * stated, within))
        if not within:
            self.outside.append((error - stated, self.done - 1, case, error, stated))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=5, help="worst uncovered traces to print")
    options = parser.parse_args()
    tally, begin = Tally(), time.monotonic()
    try:
        for case in itertools.islice(cases(options.seed), options.traces):
            tally.add(case)
    except KeyboardInterrupt:
        print("interrupted; what was done until then:")
    print(
        f"{tally.done} traces, seed {options.seed}, {time.monotonic() - begin:.0f} s; {tally.invalid} marked invalid\n"
    )
    report(tally, options.show)


def report(tally: Tally, show: int) -> None:
    heads = ("|error| %: median", "95 %", "stated %: median")
    print(f"{'load':<10}{'counter':<9}{'traces':>7}{'within':>9}{heads[0]:>20}{heads[1]:>8}{heads[2]:>19}")
    for shape, counter in itertools.product(SHAPES, (True, False)):
        found = tally.rows[shape, counter]
        if not found:
            continue
        errors, stated, within = zip(*found, strict=True)
        cells = f"{100 * sum(within) / len(within):8.2f}%{statistics.median(errors):20.3f}"
        cells += f"{sorted(errors)[int(0.95 * len(errors))]:8.2f}{statistics.median(stated):19.3f}"
        print(f"{shape:<10}{'yes' if counter else 'no':<9}{len(found):7d}{cells}")
    every = [row for found in tally.rows.values() for row in found]
    print(f"\nwithin what is stated: {sum(row[2] for row in every)} of {len(every)}")
    for excess, number, case, error, stated in sorted(tally.outside, key=lambda row: -row[0])[:show]:
        print(
            f"  trace {number}: {case.shape}, counter {case.update_s}, refresh {case.refresh_s:.3f} s, window "
            f"{case.end_s - case.begin_s:.2f} s: off by {100 * error:.2f} %, stated {100 * stated:.2f} %"
            f" ({100 * excess:.2f} % beyond)"
        )


if __name__ == "__main__":
    main()

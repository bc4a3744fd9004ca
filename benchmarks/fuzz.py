"""Wrong and hostile inputs by the thousand, for every reader: what goes wrong, and how to bring it back.

python -m benchmarks.fuzz [--inputs 10000] [--seed 1] [--first 0] [--target suites]
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzzing.campaign import fuzz
from tests.fuzzing.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--target", choices=tuple(TARGETS), help="one reader alone; its numbers are those of all")
    options = parser.parse_args()
    targets = tuple(TARGETS)
    numbers = range(options.first, options.first + options.inputs)
    if options.target:
        numbers = [n for n in numbers if targets[n % len(targets)] == options.target]
    begin = time.monotonic()
    found = fuzz(options.seed, numbers)
    print(f"{'reader':<15}{'inputs':>8}{'refused':>9}{'faults':>8}{'CPU ms each':>13}")
    for target in (t for t in targets if found.inputs[t]):
        many, faults = found.inputs[target], sum(fault.target == target for fault in found.faults)
        print(f"{target:<15}{many:8d}{found.refused[target]:9d}{faults:8d}{1000 * found.seconds[target] / many:13.1f}")
    took_s = time.monotonic() - begin
    print(f"{sum(found.inputs.values())} inputs, seed {options.seed}, {took_s:.0f} s")
    kinds: dict[str, list[int]] = {}
    for fault in found.faults:
        kinds.setdefault(f"{fault.target}: {fault.kind}", []).append(fault.number)
    for kind, numbers_of in sorted(kinds.items(), key=lambda item: -len(item[1])):
        print(f"\n{len(numbers_of)} x {kind}\n   first: --first {numbers_of[0]} --inputs 1")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())

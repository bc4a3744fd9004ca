"""What reading an energy counter rarely does to the joules: real journals with most counter readings taken out.

    python -m benchmarks.rare_counter reports/meter/h100/{full,half,square,idle}.csv.gz [--every-s 7]

A journal with a counter reading at every tick is the reference. The same journal, with the counter kept only every few
seconds and for 0.16 s after the edges of one long window, is what the sampler records where a reading is costly. It
prints that window, whose edges the meter knew of, and windows of 5 s at random places, whose edges it did not.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np

from greenbench.power.journal.device_energy import DeviceEnergy
from greenbench.power.journal.file import JournalContents, read_segments
from greenbench.power.journal.trace import Trace

NS = 1_000_000_000
AFTER_EDGE_NS = 160_000_000
INSIDE_S = 5.0


def thinned(contents: JournalContents, edges_ns: list[int], every_s: float) -> JournalContents:
    """Take out the counter readings that a sampler with a costly counter would not have made."""
    contents = copy.deepcopy(contents)
    last_ns = 0
    for sample in contents.segments[0].samples:
        if sample.energy_j is None:
            continue
        at_edge = any(0 <= sample.t_mono_ns - edge <= AFTER_EDGE_NS for edge in edges_ns)
        if at_edge or sample.t_mono_ns < edges_ns[0] or sample.t_mono_ns - last_ns > every_s * NS:
            last_ns = sample.t_mono_ns
        else:
            sample.energy_j = None
    return contents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("journals", type=Path, nargs="+")
    parser.add_argument("--every-s", type=float, default=7.0)
    parser.add_argument("--windows", type=int, default=300)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    for path in options.journals:
        contents = read_segments(path)
        samples = contents.segments[0].samples
        begin = int(contents.segments[0].header["t_mono_ns"]) + NS // 20
        end = samples[-1].t_mono_ns - NS // 4
        rare = thinned(contents, [begin, end], options.every_s)
        traces = Trace(contents), Trace(rare)

        def cut(begin_ns: int, end_ns: int, traces: tuple[Trace, Trace] = traces) -> tuple[DeviceEnergy, DeviceEnergy]:
            reference, found = (trace.window(begin_ns, end_ns).devices[0] for trace in traces)
            return reference, found

        reference, found = cut(begin, end)
        counts = [sum(s.energy_j is not None for s in c.segments[0].samples) for c in (contents, rare)]
        print(
            f"{path.name}: {(end - begin) / NS:.2f} s, counter readings {counts[0]} and {counts[1]}\n"
            f"  edges known: {reference.energy_j:.1f} and {found.energy_j:.1f} J, "
            f"{100 * ((found.energy_j or 0) / (reference.energy_j or 1) - 1):+.3f} %, "
            f"counter/integral {reference.ratio:.4f} and {found.ratio:.4f}"
        )
        errors, covered = [], 0
        for start in generator.uniform(begin, end - INSIDE_S * NS, options.windows):
            one, other = cut(int(start), int(start + INSIDE_S * NS))
            error_j = (other.energy_j or 0.0) - (one.energy_j or 0.0)
            errors.append(100 * abs(error_j) / (one.energy_j or 1.0))
            covered += abs(error_j) <= one.edge_j + other.edge_j
        print(
            f"  edges unknown, 5 s: median |error| {np.median(errors):.2f} %, largest {max(errors):.2f} %, "
            f"within the edge terms {covered}/{len(errors)}"
        )


if __name__ == "__main__":
    main()

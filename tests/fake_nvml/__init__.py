"""A fake NVIDIA driver: builds ``libnvidia-ml.so.1`` from C and programs it with power traces."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).with_name("fake_nvml.c")
UUIDS = [f"GPU-{n}{n}{n}{n}0000-1111-2222-3333-44445555666{n}" for n in range(8)]


def compiler() -> str | None:
    """Return a C compiler, None where there is none."""
    return next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)


def build(folder: Path) -> Path:
    """Compile the library into ``folder`` and return that folder (for ``LD_LIBRARY_PATH``)."""
    cc = compiler()
    assert cc is not None
    target = folder / "libnvidia-ml.so.1"
    subprocess.run([cc, "-shared", "-fPIC", "-O1", "-o", str(target), str(SOURCE), "-lm", "-lpthread"], check=True)
    return folder


def build_cuda(folder: Path) -> Path:
    """Compile a ``libcuda.so.1`` that knows devices and empty contexts only, and return its folder."""
    cc = compiler()
    assert cc is not None
    source = SOURCE.with_name("fake_cuda.c")
    subprocess.run([cc, "-shared", "-fPIC", "-O1", "-o", str(folder / "libcuda.so.1"), str(source)], check=True)
    return folder


@dataclass
class Load:
    """A power curve in watts over seconds, with its exact energy."""

    text: str

    @classmethod
    def constant(cls, watts: float) -> Load:
        return cls(f"constant {watts}")

    @classmethod
    def square(cls, hz: float, low_w: float, high_w: float, duty: float = 0.5) -> Load:
        return cls(f"square {hz} {low_w} {high_w} {duty}")

    @classmethod
    def points(cls, *pairs: tuple[float, float]) -> Load:
        return cls("points " + " ".join(f"{t}:{w}" for t, w in pairs))

    def energy_j(self, t0_s: float, t1_s: float) -> float:
        """Exact energy between two moments."""
        return self._until(t1_s) - self._until(t0_s)

    def _until(self, t: float) -> float:
        kind, *cells = self.text.split()
        if kind == "constant":
            return float(cells[0]) * t
        if kind == "square":
            hz, low, high, duty = map(float, cells)
            cycles, rest = divmod(t * hz, 1.0)
            on = min(rest, duty)
            return (cycles * (duty * high + (1 - duty) * low) + on * high + (rest - on) * low) / hz
        pairs = [tuple(map(float, cell.split(":"))) for cell in cells]
        pairs = [(-math.inf, pairs[0][1]), *pairs, (math.inf, pairs[-1][1])]
        total = 0.0
        for (ta, wa), (tb, wb) in itertools.pairwise(pairs):
            lo, hi = max(ta, 0.0), min(tb, t)
            if hi > lo:
                at = [wa if wa == wb else wa + (wb - wa) * (x - ta) / (tb - ta) for x in (lo, hi)]
                total += (at[0] + at[1]) / 2 * (hi - lo)
        return total


@dataclass
class FakeGpu:
    """One programmed card; ``options`` are further lines of the driver's file (see ``fake_nvml.c``)."""

    load: Load
    uuid: str = ""
    options: dict[str, object] = field(default_factory=dict)


class FakeDriver:
    """A built driver and its program; ``environment`` goes to the processes that shall see the fake cards."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.library = library
        self.file = folder / "fake_nvml.txt"
        self.start_ns = 0

    def program(self, *gpus: FakeGpu, **options: object) -> None:
        """Write the driver's file; the traces begin now."""
        self.start_ns = time.monotonic_ns()
        lines = [f"start_ns {self.start_ns}", *(f"{key} {value}" for key, value in options.items())]
        for index, gpu in enumerate(gpus):
            lines += [f"gpu {gpu.uuid or UUIDS[index]}", gpu.load.text]
            lines += [f"{key} {value}" for key, value in gpu.options.items()]
        self.file.write_text("\n".join(lines) + "\n")

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(self.library), os.environ.get("LD_LIBRARY_PATH")]))
        return {"LD_LIBRARY_PATH": path, "FAKE_NVML_FILE": str(self.file)}

    def seconds(self, t_mono_ns: int) -> float:
        """Convert a monotonic moment to seconds of the traces."""
        return (t_mono_ns - self.start_ns) * 1e-9


def powercap_tree(folder: Path, domains: dict[str, tuple[str, int, int]]) -> Path:
    """Write a fake powercap tree: ``{"intel-rapl:0": ("package-0", energy_uj, max_energy_range_uj)}``."""
    for entry, (name, energy_uj, range_uj) in domains.items():
        domain = folder / entry
        domain.mkdir(parents=True)
        (domain / "name").write_text(name + "\n")
        (domain / "energy_uj").write_text(f"{energy_uj}\n")
        (domain / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder

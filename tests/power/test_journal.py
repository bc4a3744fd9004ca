from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenbench.power.journal.file import JournalWriter, read_segments
from greenbench.power.samples import COLUMNS, Sample


def row(i: int, **more: Any) -> Sample:
    return Sample(1000 + i, 5, "gpu0", "nvml", "measured", 100.0 + i, float(i), **more)


def write(path: Path, first: int, count: int, per_flush: int = 5) -> JournalWriter:
    writer = JournalWriter(path)
    writer.comment(segment={"boot_id": "b", "devices": []})
    for i in range(first, first + count):
        writer.sample(row(i))
        if (i + 1) % per_flush == 0:
            writer.flush()
    writer.close()
    return writer


def energies(path: Path) -> list[list[float | None]]:
    return [[s.energy_j for s in segment.samples] for segment in read_segments(path).segments]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "power.csv.gz"
    writer = JournalWriter(path)
    full = row(1, temperature_c=40.5, throttle="none", foreign=0, event="wrap", util_pct=3.0)
    writer.sample(full)
    writer.sample(Sample(2000, 1, "cpu", "cpu", "modelled"))
    writer.close()
    samples = read_segments(path).segments[0].samples
    assert samples == [full, Sample(2000, 1, "cpu", "cpu", "modelled")]


def test_absent_values_are_empty_cells_and_the_file_is_plain_gzip_csv(tmp_path: Path) -> None:
    path = tmp_path / "power.csv.gz"
    writer = JournalWriter(path)
    writer.sample(Sample(2000, 1, "cpu", "cpu", "modelled"))
    writer.close()
    header, line = gzip.decompress(path.read_bytes()).decode().splitlines()
    assert header == ",".join(COLUMNS)
    assert line == "2000,1,cpu,cpu,modelled" + "," * (len(COLUMNS) - 5)


def test_nan_is_an_empty_cell_whatever_the_device_is_called(tmp_path: Path) -> None:
    path = tmp_path / "power.csv.gz"
    writer = JournalWriter(path)
    writer.sample(Sample(2000, 1, "nano", "nvml", "measured", float("nan"), float("nan"), temperature_c=41))
    writer.close()
    line = gzip.decompress(path.read_bytes()).decode().splitlines()[1]
    assert line == "2000,1,nano,nvml,measured,,,,,,,,41,,,,,,,"
    assert read_segments(path).segments[0].samples == [Sample(2000, 1, "nano", "nvml", "measured", temperature_c=41)]


def test_sessions_append_to_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "power.csv.gz"
    write(path, 0, 10)
    write(path, 10, 10)
    assert energies(path) == [list(range(10)), list(range(10, 20))]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_file_cut_anywhere_reads_back_to_the_last_whole_flush_and_can_be_continued(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "power.csv.gz"
    path.unlink(missing_ok=True)
    write(path, 0, 30)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = [e for part in energies(path) for e in part]
    assert kept == list(range(len(kept)))
    # What one flush held, and nothing more, may be gone.
    writer = write(path, 100, 5)
    again = [e for part in energies(path) for e in part]
    assert again[-5:] == [100, 101, 102, 103, 104]
    assert again[:-5] == list(range(len(again) - 5))
    assert len(again) - 5 >= len(kept) - 5
    assert read_segments(path).torn_members == 0
    assert writer.warnings == [] or "torn" in writer.warnings[0]


def test_garbage_in_the_middle_costs_one_flush_not_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "power.csv.gz"
    write(path, 0, 30)
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 8] = b"\xff" * 8
    path.write_bytes(bytes(whole))
    contents = read_segments(path)
    kept = {s.energy_j for segment in contents.segments for s in segment.samples}
    assert contents.torn_members >= 1
    assert {0, 29} <= kept
    assert len(kept) >= 20


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from greenbench.power.journal.file import JournalWriter
from greenbench.power.samples import Sample
writer = JournalWriter(Path(sys.argv[1]))
outcomes = []
def flush(first):
    for i in range(first, first + 20):
        writer.sample(Sample(1000 + i, 5, "gpu0", "nvml", "measured", 100.0 + i * 0.37, i * 1.37))
    outcomes.append(writer.flush())
flush(0)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
size = Path(sys.argv[1]).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
flush(20)
flush(40)
print(outcomes, Path(sys.argv[1]).stat().st_size == size, len(writer.warnings) > 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
flush(60)
writer.close()
"""


def test_a_full_disk_corrupts_nothing_and_loses_nothing_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "power.csv.gz"
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), root], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == "[True, False, False] True True"
    contents = read_segments(path)
    assert contents.torn_members == 0
    assert [s.t_mono_ns for s in contents.segments[0].samples] == [1000 + i for i in range(80)]


def test_unreadable_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "hand.csv"
    path.write_text("t_s,power_w\n0,100\n1,abc\n2,100\n3\n")
    contents = read_segments(path)
    assert contents.bad_lines == 2
    assert [s.power_w for s in contents.segments[0].samples] == [100, 100]


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        read_segments(tmp_path / "none.csv.gz")

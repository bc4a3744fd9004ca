"""``greenbench cache``: what greenbench keeps outside run folders, how large it is, and how to be rid of it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from greenbench.cli.options import AsJson, emit

_CONTENTS = {
    "audio": "decoded corpora, 16 kHz; made again from the audio files in seconds to minutes",
    "costs": "counted costs of models; counted again in seconds",
    "features": "features of corpora; made again when a trial needs them, and charged to it",
}


def cache(
    *,
    clean: Annotated[bool, typer.Option("--clean", help="Delete all of it; it is made again when needed.")] = False,
    older_than_days: Annotated[
        float | None, typer.Option("--older-than", min=0, metavar="DAYS", help="Clean only what is unused since.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what lies in the cache, where and how large it is, or delete it."""
    from greenbench.errors import ConfigError
    from greenbench.resources import cache_dir
    from greenbench.units import format_bytes

    if older_than_days is not None and not clean:
        raise ConfigError("cache --older-than: goes with --clean")
    folder = cache_dir()
    entries = _entries(folder)
    removed = [e for e in entries if clean and (older_than_days is None or e["unused_days"] >= older_than_days)]
    for entry in removed:
        _remove(Path(entry["path"]))
    kept = [e for e in entries if e not in removed]
    if as_json:
        emit({"folder": str(folder), "entries": kept, "removed": removed})
        return
    print(f"cache: {folder}" + ("" if entries else " (empty)"))
    for kind in dict.fromkeys(e["kind"] for e in entries):
        of_kind = [e for e in kept if e["kind"] == kind]
        size = format_bytes(sum(e["bytes"] for e in of_kind))
        print(f"  {kind:<9} {len(of_kind):>3} entries {size:>10}  {_CONTENTS.get(kind, '')}".rstrip())
    if removed:
        print(f"removed {len(removed)} entries, {format_bytes(sum(e['bytes'] for e in removed))}")


def _entries(folder: Path) -> list[dict[str, Any]]:
    """One entry a corpus and kind; loose files (answers of carbon services, scans) count by their own name."""
    found = []
    for kind in sorted(folder.iterdir()) if folder.is_dir() else ():
        inside = sorted(p for p in kind.iterdir() if p.suffix != ".lock") if kind.is_dir() else [kind]
        for path in inside:
            files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
            used_s = max((max(p.stat().st_atime, p.stat().st_mtime) for p in files), default=path.stat().st_mtime)
            found.append(
                {
                    "kind": kind.name,
                    "path": str(path),
                    "bytes": sum(p.stat().st_size for p in files),
                    "unused_days": round(max(0.0, time.time() - used_s) / 86_400, 2),
                }
            )
    return found


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        path.with_name(path.name + ".lock").unlink(missing_ok=True)
    else:
        path.unlink()

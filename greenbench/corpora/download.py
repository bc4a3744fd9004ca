"""Fetch a public corpus: resumable, verified by checksum, unpacked without trusting the archive's paths.

Nothing is fetched unless a user asks for it by a command, and size and licence are shown before the first byte.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from greenbench.corpora.catalogue import Archive, download_root, find_archive
from greenbench.errors import DataError, OutputError
from greenbench.progress import Progress
from greenbench.units import format_bytes

_BLOCK = 1 << 20
_ATTEMPTS = 5
_TIMEOUT_S = 60.0
_PAUSE_S = 0.5


def announce(archive: Archive, root: Path) -> str:
    """The lines that a user sees before anything is fetched: size, licence, source, target."""
    return (
        f"{archive.name}: {archive.hours:g} h of speech\n"
        f"size:     {format_bytes(archive.size_bytes)} to download, about as much again unpacked\n"
        f"licence:  {archive.licence}\n"
        f"cite:     {archive.citation}\n"
        f"from:     {archive.url}\n"
        f"to:       {root / archive.folder}"
    )


def download(
    name: str,
    root: Path | None = None,
    *,
    yes: bool = False,
    ask: Callable[[str], bool] | None = None,
    say: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download and unpack a corpus of the catalogue; return its folder.

    ``say`` gets the announcement; without ``yes`` the download goes on only if ``ask(question)`` returns true. A
    finished corpus is left as it is, an interrupted download goes on where it stopped. Raises :class:`DataError` for an
    unknown name, a server's refusal or a wrong checksum, :class:`OutputError` if the disk does not take it.
    """
    return fetch(find_archive(name), root or download_root(), yes=yes, ask=ask, say=say, progress=progress)


def fetch(
    archive: Archive,
    root: Path,
    *,
    yes: bool = False,
    ask: Callable[[str], bool] | None = None,
    say: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Do what :func:`download` does, for an archive that need not be in the catalogue."""
    folder = root / archive.folder
    if folder.is_dir():
        return folder
    if say is not None:
        say(announce(archive, root))
    if not yes and (ask is None or not ask(f"Download {format_bytes(archive.size_bytes)}?")):
        raise DataError(f"corpus {archive.name}: not downloaded; answer yes or give --yes")
    partial = root / (archive.url.rpartition("/")[2] + ".part")
    try:
        root.mkdir(parents=True, exist_ok=True)
        _check_space(archive, root, partial)
        _fetch_all(archive, partial, progress)
        _unpack(partial, root, folder, archive, progress)
    except DataError:
        raise
    except (OSError, shutil.Error) as error:
        raise OutputError(
            f"{root}: cannot store {archive.name} ({getattr(error, 'strerror', None) or error}); free space or give "
            "another folder"
        ) from error
    partial.unlink(missing_ok=True)
    return folder


def _check_space(archive: Archive, root: Path, partial: Path) -> None:
    needed = 2 * archive.size_bytes - _size(partial)
    free = shutil.disk_usage(root).free
    if free < needed:
        raise OutputError(
            f"{root}: {format_bytes(free)} free, {archive.name} needs {format_bytes(needed)}; free space or give "
            "another folder"
        )


def _fetch_all(archive: Archive, partial: Path, progress: Progress | None) -> None:
    """Fetch until the server's length is reached and the checksum fits; a wrong file is fetched anew once."""
    for fresh_start in (False, True):
        _fetch_to_end(archive, partial, progress)
        if _checksum_fits(archive, partial, progress):
            return
        partial.unlink()
        if fresh_start:
            break
    raise DataError(
        f"{archive.url}: the checksum is wrong ({archive.checksum.partition(':')[0]}) in two downloads; "
        "the file on the server differs from the published one or a proxy changes it"
    )


def _fetch_to_end(archive: Archive, partial: Path, progress: Progress | None) -> None:
    """Try again after every broken connection; only attempts that bring nothing count towards giving up."""
    fruitless = 0
    reason = "the connection ended early"
    while fruitless < _ATTEMPTS:
        before = _size(partial)
        try:
            if _fetch_once(archive, partial, progress):
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise DataError(f"{archive.url}: the server answers {error.code} {error.reason}") from error
            reason = f"{error.code} {error.reason}"
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", None) or error)
        if _size(partial) <= before:
            fruitless += 1
            time.sleep(min(_PAUSE_S * 2**fruitless, 30.0))
    raise DataError(f"{archive.url}: cannot be fetched ({reason}); run the same command again to resume")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_once(archive: Archive, partial: Path, progress: Progress | None) -> bool:
    """Append what is missing; return whether the file now has the length that the server says."""
    have = _size(partial)
    request = urllib.request.Request(archive.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing beyond what is here: it is complete, or longer than it should be
            return True
        raise
    with response:
        resumed = response.status == 206 and _range_begin(response) == have
        begin = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = begin + int(length) if length is not None else archive.size_bytes
        done = begin
        with partial.open("ab" if resumed else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                done += len(block)
                if progress is not None:
                    progress(f"fetching {archive.name}", min(done / max(total, 1), 1.0))
    return length is None or done >= total


def _range_begin(response: HTTPResponse) -> int:
    """Where a partial answer begins, -1 if it does not say so: then it is not trusted."""
    text = str(response.headers.get("Content-Range", ""))
    digits = text.removeprefix("bytes ").partition("-")[0]
    return int(digits) if digits.isdigit() else -1


def _checksum_fits(archive: Archive, path: Path, progress: Progress | None) -> bool:
    kind, _, expected = archive.checksum.partition(":")
    hasher = hashlib.new(kind, usedforsecurity=False)
    size, done = path.stat().st_size, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
            done += len(block)
            if progress is not None:
                progress(f"verifying {archive.name}", done / max(size, 1))
    return hasher.hexdigest() == expected


def _unpack(path: Path, root: Path, folder: Path, archive: Archive, progress: Progress | None) -> None:
    """Unpack to a folder beside, then move the wanted part into place, so that a half-unpacked corpus never counts."""
    building = root / f".{archive.name}.unpacking"
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        size = path.stat().st_size
        with path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as tar:
            for member in tar:
                _extract(tar, member, building, archive)
                if progress is not None:
                    progress(f"unpacking {archive.name}", raw.tell() / max(size, 1))
        found = building / archive.folder
        if not found.is_dir():
            raise DataError(f"{archive.url}: holds no folder {archive.folder}; the archive has another content")
        folder.parent.mkdir(parents=True, exist_ok=True)
        found.rename(folder)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{archive.url}: cannot be unpacked ({error}); delete {path} and try again") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, archive: Archive) -> None:
    """Write one regular file below ``target``; anything that points outside of it ends the unpacking."""
    destination = Path(os.path.normpath(target / member.name))
    if member.name.startswith("/") or not destination.is_relative_to(target):
        raise DataError(f"{archive.url}: {member.name!r} would be written outside the folder; nothing was kept")
    if member.isdir():
        destination.mkdir(parents=True, exist_ok=True)
    elif member.isfile():
        destination.parent.mkdir(parents=True, exist_ok=True)
        source = tar.extractfile(member)
        if source is None:
            raise DataError(f"{archive.url}: {member.name!r} cannot be read; the archive is damaged")
        with source, destination.open("wb") as file:
            shutil.copyfileobj(source, file)
    elif member.issym() or member.islnk():
        raise DataError(f"{archive.url}: {member.name!r} is a link; corpora have none, so nothing was kept")

"""Downloads against a real HTTP server that truncates, corrupts, ignores ranges, fails, or sends evil archives."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from greenbench.corpora import download as module
from greenbench.corpora.catalogue import ARCHIVES, Archive
from greenbench.corpora.download import announce, download, fetch
from greenbench.errors import DataError, OutputError


def tarball(files: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return buffer.getvalue()


CONTENT = {f"Corpus/part/{i}.txt": bytes([i]) * 5000 + hashlib.sha256(bytes([i])).digest() * 500 for i in range(40)}
GOOD = tarball(CONTENT)


def refuse(handler: BaseHTTPRequestHandler, status: int) -> bool:
    handler.send_error(status)
    return True


class Server:
    """A file server whose answers a test decides: ``behave(request number, handler)`` returns True if it answered."""

    def __init__(self) -> None:
        self.body = GOOD
        self.requests: list[str | None] = []
        self.behave: Callable[[int, BaseHTTPRequestHandler], bool] = lambda number, handler: False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.headers.get("Range"))
                if not outer.behave(len(outer.requests), self):
                    outer.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def answer(self, handler: BaseHTTPRequestHandler, *, cut: int | None = None, ranges: bool = True) -> bool:
        wanted = handler.headers.get("Range")
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and ranges else 0
        if begin >= len(self.body):
            return refuse(handler, 416)
        handler.send_response(206 if begin else 200)
        if begin:
            handler.send_header("Content-Range", f"bytes {begin}-{len(self.body) - 1}/{len(self.body)}")
        handler.send_header("Content-Length", str(len(self.body) - begin))
        handler.end_headers()
        handler.wfile.write(self.body[begin:] if cut is None else self.body[begin : begin + cut])
        return True

    def archive(self, body: bytes | None = None) -> Archive:
        self.body = GOOD if body is None else body
        url = f"http://127.0.0.1:{self.server.server_port}/corpus.tar.gz"
        checksum = "sha256:" + hashlib.sha256(self.body).hexdigest()
        return Archive("corpus", url, len(self.body), checksum, "Corpus/part", 1.0, "CC0", "nobody")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)
    server = Server()
    yield server
    server.server.shutdown()
    server.server.server_close()
    server.thread.join()


def check(folder: Path) -> None:
    assert {f"Corpus/part/{p.name}": p.read_bytes() for p in folder.iterdir()} == CONTENT


def test_size_and_licence_are_said_before_anything_is_fetched(server: Server, tmp_path: Path) -> None:
    archive = server.archive()
    said: list[str] = []

    def ask(question: str) -> bool:
        assert "licence:  CC0" in said[0]
        assert archive.url in said[0]
        assert not server.requests
        return True

    check(fetch(archive, tmp_path, ask=ask, say=said.append))
    assert len(server.requests) == 1
    assert not list(tmp_path.glob("*.part"))


def test_without_a_yes_nothing_is_fetched(server: Server, tmp_path: Path) -> None:
    for ask in (None, lambda question: False):
        with pytest.raises(DataError, match="--yes"):
            fetch(server.archive(), tmp_path, ask=ask)
    assert not server.requests
    assert not list(tmp_path.iterdir())


def test_a_truncated_answer_is_resumed_where_it_stopped(server: Server, tmp_path: Path) -> None:
    archive = server.archive()
    third = len(GOOD) // 3
    server.behave = lambda number, handler: number <= 2 and server.answer(handler, cut=third)
    check(fetch(archive, tmp_path, yes=True))
    assert server.requests == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_an_interrupted_download_goes_on_in_the_next_call(server: Server, tmp_path: Path) -> None:
    archive = server.archive()
    (tmp_path / "corpus.tar.gz.part").write_bytes(GOOD[:1000])
    check(fetch(archive, tmp_path, yes=True))
    assert server.requests == ["bytes=1000-"]


def test_a_server_without_ranges_is_read_from_the_beginning(server: Server, tmp_path: Path) -> None:
    archive = server.archive()
    (tmp_path / "corpus.tar.gz.part").write_bytes(b"x" * 1000)
    server.behave = lambda number, handler: server.answer(handler, ranges=False)
    check(fetch(archive, tmp_path, yes=True))


def test_a_wrong_beginning_is_found_by_the_checksum_and_fetched_anew(server: Server, tmp_path: Path) -> None:
    archive = server.archive()
    (tmp_path / "corpus.tar.gz.part").write_bytes(b"x" * 1000)
    check(fetch(archive, tmp_path, yes=True))
    assert server.requests == ["bytes=1000-", None]


def test_a_whole_partial_file_needs_no_further_byte(server: Server, tmp_path: Path) -> None:
    archive = server.archive()
    (tmp_path / "corpus.tar.gz.part").write_bytes(GOOD)
    check(fetch(archive, tmp_path, yes=True))
    assert server.requests == [f"bytes={len(GOOD)}-"]


def test_a_wrong_file_on_the_server_is_refused(server: Server, tmp_path: Path) -> None:
    archive = dataclasses.replace(server.archive(), checksum="md5:" + "0" * 32)
    with pytest.raises(DataError, match=r"corpus\.tar\.gz: the checksum is wrong \(md5\)"):
        fetch(archive, tmp_path, yes=True)
    assert len(server.requests) == 2
    assert not list(tmp_path.iterdir())


def test_a_refusal_names_the_status(server: Server, tmp_path: Path) -> None:
    server.behave = lambda number, handler: refuse(handler, 403)
    with pytest.raises(DataError, match="403 Forbidden"):
        fetch(server.archive(), tmp_path, yes=True)
    assert len(server.requests) == 1


def test_a_server_in_trouble_is_asked_again_and_then_given_up(server: Server, tmp_path: Path) -> None:
    server.behave = lambda number, handler: number <= 2 and refuse(handler, 503)
    check(fetch(server.archive(), tmp_path, yes=True))
    server.behave = lambda number, handler: refuse(handler, 503)
    with pytest.raises(DataError, match="run the same command again to resume"):
        fetch(server.archive(), tmp_path / "second", yes=True)


def test_no_server_at_all_is_one_line(server: Server, tmp_path: Path) -> None:
    archive = dataclasses.replace(server.archive(), url="http://127.0.0.1:9/corpus.tar.gz")
    with pytest.raises(DataError, match="cannot be fetched"):
        fetch(archive, tmp_path, yes=True)


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/greenbench-evil.txt", "Corpus/../../evil.txt"])
def test_an_archive_cannot_write_outside_its_folder(name: str, server: Server, tmp_path: Path) -> None:
    archive = server.archive(tarball({**CONTENT, name: b"evil"}))
    with pytest.raises(DataError, match="outside the folder"):
        fetch(archive, tmp_path / "in", yes=True)
    assert not list(tmp_path.rglob("evil.txt"))
    assert not Path("/tmp/greenbench-evil.txt").exists()
    assert not (tmp_path / "in" / "Corpus").exists()


def test_an_archive_with_links_is_refused(server: Server, tmp_path: Path) -> None:
    archive = server.archive(tarball(CONTENT, links={"Corpus/part/link": "/etc/passwd"}))
    with pytest.raises(DataError, match="is a link"):
        fetch(archive, tmp_path, yes=True)
    assert not (tmp_path / "Corpus").exists()


def test_an_archive_with_other_content_is_refused(server: Server, tmp_path: Path) -> None:
    for body in (tarball({"Other/0.txt": b"x"}), b"this is no archive" * 100):
        with pytest.raises(DataError, match=r"holds no folder|cannot be unpacked"):
            fetch(server.archive(body), tmp_path, yes=True)
        assert not (tmp_path / "Corpus").exists()


def test_a_full_disk_is_said_before_the_download(server: Server, tmp_path: Path) -> None:
    archive = dataclasses.replace(server.archive(), size_bytes=10**18)
    with pytest.raises(OutputError, match="free"):
        fetch(archive, tmp_path, yes=True)
    assert not server.requests


def test_an_unknown_corpus_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'train-clean-100'"):
        download("librispeech:train-clean-10", tmp_path)


def test_the_catalogue_is_complete() -> None:
    for archive in ARCHIVES.values():
        kind, _, value = archive.checksum.partition(":")
        assert len(value) == {"sha256": 64, "md5": 32}[kind]
        assert archive.url.startswith("https://")
        assert "CC BY 4.0" in announce(archive, Path("data"))

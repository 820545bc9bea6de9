import errno
import gzip
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ponder.bench.record_file import RecordFile
from ponder.bench.recorded import read_traces
from ponder.core.errors import DataError

HEADER: dict[str, object] = {"tokenizer": "echo", "recording": {"schema": 1, "every": 4, "samples": 1}}


def line(id_: str) -> dict[str, object]:
    probes = [{"at": 1, "answer": "7", "p": 0.5, "tokens": 1}]
    return {
        "id": id_,
        "question": "?",
        "answer": "7",
        "samples": [{"text": "<think>so</think>7", "tokens": 4, "probes": probes}],
        "tokens_by_role": {"think": 3, "answer": 1, "probe": 1},
    }


@pytest.fixture(params=["t.jsonl", "t.jsonl.gz"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / "deep" / str(request.param)


def write(path: Path, *ids: str) -> None:
    with RecordFile(path, HEADER) as file:
        for id_ in ids:
            file.append(line(id_))


def test_what_is_written_is_read_back_and_goes_on(path: Path) -> None:
    write(path, "a", "b")
    with RecordFile(path, HEADER) as file:
        assert (file.ids, file.bill, file.samples, file.probes) == (
            {"a", "b"}, {"think": 6, "answer": 2, "probe": 2}, 2, 2,
        )  # fmt: skip
        assert file.tokens == 10
        file.append(line("c"))
    problems = list(read_traces(path))
    assert [problem.id for problem in problems] == ["a", "b", "c"]
    assert problems[0].tokenizer == "echo"
    assert (path.suffix == ".gz") == path.read_bytes().startswith(b"\x1f\x8b")


def test_torn_ends_are_dropped_wherever_they_are_torn(path: Path) -> None:
    write(path, "a", "b")
    with RecordFile(path, HEADER) as file:
        whole = path.stat().st_size
        file.append(line("c"))
    end = path.stat().st_size
    data = path.read_bytes()
    for cut in range(whole, end):
        path.write_bytes(data[:cut])
        with RecordFile(path, HEADER) as file:
            assert file.ids - {"c"} == {"a", "b"}, cut
            file.append(line("d"))
        assert [problem.id for problem in read_traces(path)][:2] == ["a", "b"], cut
        assert [problem.id for problem in read_traces(path)][-1] == "d", cut


def test_a_torn_first_line_is_begun_again(path: Path) -> None:
    write(path)
    data = path.read_bytes()
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        write(path, "a")
        assert [problem.id for problem in read_traces(path)] == ["a"], cut


def test_strangers_files_are_left_alone(path: Path) -> None:
    path.parent.mkdir()
    for text in ("my notes", "my notes\n", '{"id": "a"}\n', '{"tokenizer": "x"}\n'):
        data = gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode()
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"is no recording of `ponder record`; choose another file with --out"):
            write(path, "a")
        assert path.read_bytes() == data


def test_other_settings_are_refused(path: Path) -> None:
    write(path, "a")
    other = {**HEADER, "recording": {"schema": 1, "every": 8, "samples": 1}}
    with pytest.raises(DataError, match=r"was recorded with every = 4, not 8; give the same settings"):
        RecordFile(path, other)
    assert [problem.id for problem in read_traces(path)] == ["a"]


def test_a_line_that_is_broken_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write(path, "a")
    path.write_bytes(path.read_bytes() + b"oops\n")
    with pytest.raises(DataError, match="line 3 is not JSON; cut the file there"):
        write(path, "b")


def test_two_cannot_write_at_once(path: Path) -> None:
    with RecordFile(path, HEADER) as file:
        with pytest.raises(DataError, match="another process is recording into"):
            RecordFile(path, HEADER)
        file.append(line("a"))
    assert [problem.id for problem in read_traces(path)] == ["a"]


class Full(io.FileIO):
    """A file on a disk that fills up in the middle of a line."""

    def write(self, data: object) -> int:
        if len(data) > 50:  # type: ignore[arg-type]
            return super().write(data[:50])  # type: ignore[index]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_whole_lines(path: Path) -> None:
    with RecordFile(path, HEADER) as file:
        file.append(line("a"))
        whole = path.read_bytes()
        kept, file._file = file._file, Full(path, "a")
        with pytest.raises(DataError, match=r"No space left on device.*what is recorded is kept: make room"):
            file.append(line("b"))
        assert path.read_bytes() == whole
        assert file.ids == {"a"}
        file._file.close()
        file._file = kept
        file.append(line("b"))
    assert [problem.id for problem in read_traces(path)] == ["a", "b"]


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written .*; choose another file with --out"):
        RecordFile(tmp_path / "file" / "t.jsonl", HEADER)


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from bench.test_record_file import HEADER, line, RecordFile
with RecordFile(Path(sys.argv[1]), HEADER) as file:
    for number in range(10**9):
        file.append(line(f"q{number}"))
        print(number, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process the hard way")
def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_announced(path: Path) -> None:
    run = [sys.executable, "-c", KILLED, str(path), str(Path(__file__).parents[1])]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "0\n"
        time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        announced = ["0", *child.stdout.read().split()]
    with RecordFile(path, HEADER) as file:
        assert {f"q{number}" for number in announced} <= file.ids
        assert len(file.ids) <= len(announced) + 1
        file.append(line("last"))
    ids = [problem.id for problem in read_traces(path)]
    assert ids == [*(f"q{number}" for number in range(len(ids) - 1)), "last"]

import asyncio
import json
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from ponder.cli.tape import parse_age, tape
from ponder.core.engine import Sampling
from ponder.core.errors import DataError, OptionError
from ponder.core.problem import Problem, Prompt
from ponder.engines.echo import Echo
from ponder.engines.tape import Recorder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A tape of three calls, 40 days, 2 days and no time old."""
    now = time.time()
    times = iter([now - 40 * 86400, now - 2 * 86400, now])

    async def record(recorder: Recorder) -> None:
        for seed in range(3):
            async with recorder.stream(Prompt.of(Problem.of("secret question")), Sampling(seed=seed)) as chunks:
                async for _ in chunks:
                    if seed == 0:
                        break

    with closing(Recorder(Echo("one two three"), tmp_path / "run.tape", clock=lambda: next(times))) as recorder:
        asyncio.run(record(recorder))
    return tmp_path / "run.tape"


def call(*args: str) -> str:
    return CliRunner().invoke(tape, args, catch_exceptions=False).stdout


def test_info_as_json(file: Path) -> None:
    found = json.loads(call("info", str(file), "--json"))
    assert (found["engine"], found["version"], found["calls"]) == ("echo", 1, 3)
    assert (found["finished"], found["left"], found["errors"], found["tokens"]) == (2, 1, 0, 7)
    assert found["size"] == file.stat().st_size
    assert found["last"] - found["first"] == pytest.approx(40 * 86400, abs=60)


def test_info_for_people(file: Path) -> None:
    said = call("info", str(file))
    assert "a tape of echo (version 1)" in said
    assert "3 calls: 2 finished, 1 left early, 0 failed; 7 tokens" in said
    assert "UTC" in said
    assert "secret" not in said


def test_purge_by_age(file: Path) -> None:
    assert "1 calls purged" in call("purge", str(file), "--older-than", "30d")
    assert json.loads(call("purge", str(file), "--older-than", "12h", "--json")) == {
        "path": str(file),
        "purged": 1,
        "left": 1,
    }
    assert b"secret question" in file.read_bytes()


def test_purge_all(file: Path) -> None:
    assert json.loads(call("purge", str(file), "--all", "--json"))["purged"] == 3
    assert json.loads(call("info", str(file), "--json"))["calls"] == 0
    assert b"secret question" not in file.read_bytes()
    assert "a tape of echo" in call("info", str(file))


@pytest.mark.parametrize("args", [(), ("--all", "--older-than", "3d")])
def test_purge_must_be_told_what(file: Path, args: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match="either --older-than 30d or --all"):
        call("purge", str(file), *args)
    assert json.loads(call("info", str(file), "--json"))["calls"] == 3


def test_bad_files_are_named(tmp_path: Path) -> None:
    for command in (("info",), ("purge", "--all")):
        with pytest.raises(DataError, match="there is no tape"):
            call(*command, str(tmp_path / "missing"))
    (tmp_path / "text").write_text("no tape" * 100)
    with pytest.raises(DataError, match="it is no SQLite file"):
        call("info", str(tmp_path / "text"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("45m", 2700), ("12h", 43200), ("30d", 2592000), ("2w", 1209600), ("0.5d", 43200)],
)
def test_ages(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["30", "d", "-3d", "3 months", ""])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(OptionError, match="is no age; write a number and s, m, h, d or w, such as 30d"):
        parse_age(text)

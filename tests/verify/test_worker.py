from __future__ import annotations

import pickle
import subprocess
import sys

from ponder.core.judge import Reference, Verdict
from ponder.verify import Number
from ponder.verify.worker import Reply, pack

COMMAND = [sys.executable, "-P", "-m", "ponder.verify.worker"]


def unpack(stream: bytes) -> list[Reply]:
    replies: list[Reply] = []
    while stream:
        size = int.from_bytes(stream[:4], "big")
        replies.append(pickle.loads(stream[4 : 4 + size]))
        stream = stream[4 + size :]
    return replies


def test_frames_carry_their_length() -> None:
    frame = pack(("ready", ""))
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert unpack(frame + frame) == [("ready", ""), ("ready", "")]


def test_requests_in_replies_out() -> None:
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(pack((Number(), "\\boxed{5}", Reference("5"))) + pack("no request"))
        process.stdin.flush()
        expected = [("ready", ""), ("verdict", Verdict(True, "5"))]
        assert [_next(process.stdout) for _ in expected] == expected
        kind, why = _next(process.stdout)
        assert kind == "broken"
        assert isinstance(why, str)
        assert "ValueError" in why
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def _next(stream: object) -> Reply:
    from typing import BinaryIO, cast

    source = cast(BinaryIO, stream)
    return unpack(size + source.read(int.from_bytes(size, "big")) if (size := source.read(4)) else b"")[0]


def test_it_leaves_when_its_parent_is_gone() -> None:
    done = subprocess.run(COMMAND, input=b"", capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"")

"""The process that judges apart: reads requests from its standard input, answers on its standard output.

Both ends are this package's own, so that frames are pickles: four bytes of length, then the value. A request is
`(verifier, answer, reference)`; the replies are `("ready", "")` once everything is loaded, then `("verdict", Verdict)`
or `("error", text)`; or `("broken", text)` alone where the verifier cannot be loaded here.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
from typing import BinaryIO, cast

from ponder.core.judge import Reference, Verdict, Verifier
from ponder.verify.base import Base

Reply = tuple[str, Verdict | str]
_MEMORY = 4 * 2**30


def pack(value: object) -> bytes:
    """Return a value as a frame."""
    body = pickle.dumps(value)
    return len(body).to_bytes(4, "big") + body


def _read(source: BinaryIO, requests: queue.SimpleQueue[bytes]) -> None:
    """Pass requests on; leave at once when the parent is gone, whatever the other thread is at."""
    while len(size := source.read(4)) == 4:
        requests.put(source.read(int.from_bytes(size, "big")))
    os._exit(0)


def _limit_memory() -> None:
    """Turn a number of a trillion digits into a MemoryError here instead of a dead machine."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY if hard < 0 else min(_MEMORY, hard), hard))


def _serve(requests: queue.SimpleQueue[bytes], out: BinaryIO) -> None:
    def send(kind: str, value: Verdict | str) -> None:
        out.write(pack((kind, value)))
        out.flush()

    while True:
        body = requests.get()
        try:
            verifier, answer, reference = cast(tuple[Verifier, str, Reference], pickle.loads(body))
            if isinstance(verifier, Base):
                verifier.prepare()
        except Exception as error:  # the task boundary: whatever keeps a verifier from loading is told to the parent
            send("broken", f"{type(error).__name__}: {error}")
            continue
        send("ready", "")
        try:
            send("verdict", verifier(answer, reference))
        except Exception as error:  # the task boundary: a reply that breaks a verifier is told to the parent
            send("error", f"{type(error).__name__}: {error}")


def main() -> None:
    """Serve until the parent closes the pipe; what libraries print goes to standard error."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_memory()
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, requests), daemon=True).start()
    _serve(requests, out)


if __name__ == "__main__":
    main()

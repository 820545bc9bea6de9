"""What a gateway costs: ponder beside a direct call, a bare relay, optillm and LiteLLM's proxy, in one run.

    python benchmarks/gateway.py [--peers direct,relay,ponder,ponder-sample,optillm,litellm] [--quick] [--out FOLDER]

- *Saturation*: requests a second in closed loop, with an upstream that answers at once, whole and streamed replies.
- *Added latency* and *added time to first token*: open loop at half of saturation (or at what so many clients, one
  request after another, would ask for, if that is less), with an upstream that takes 50 ms; beside it the direct call
  at the same rate, and the differences of their percentiles.
- *Start* is the time until the gateway says that it is healthy; *memory* is resident, once up and after the load.

Every gateway runs in an environment of its own, which is installed on first use, as one process on the first core;
upstream and load generator share the second one, and a row says how busy they were. Each repeat starts every gateway
anew, so that the machine's moods spread over all. Results are kept after every step: a run that was stopped goes on
where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.peers import PEERS, Peer, Place, install, interpreter, surroundings, versions
from serving.process import HERE, NotUp, Running, free_port, started, upstream, wait_until_up
from serving.results import Results
from serving.tables import report

DELAY = 50
"""Milliseconds that the upstream takes in the latency rows."""


@dataclass(frozen=True)
class Bench:
    """One run over all peers."""

    options: argparse.Namespace
    results: Results
    cores: tuple[int, int]
    source: Running
    port: int

    def peer(self, peer: Peer, repeat: int) -> None:
        """Start a gateway and measure what is not measured yet."""
        wanted = [key for streams in self.options.streams for key in self.keys(peer, streams, repeat)]
        if peer.command is not None:
            wanted.append(f"{peer.name}/start/{repeat}")
        if all(key in self.results.rows for key in wanted):
            return
        with self.gateway(peer, repeat) as (gateway, port):
            for streams in self.options.streams:
                for key in self.keys(peer, streams, repeat):
                    if key not in self.results.rows:
                        self.measure(key, peer, gateway, port, streams)
            if gateway is not None:
                key = f"{peer.name}/start/{repeat}"
                self.results.put(key, self.results.rows[key] | {"megabytes_after": gateway.megabytes()})

    def keys(self, peer: Peer, streams: int, repeat: int) -> Iterator[str]:
        """Yield the names of the rows of one peer, saturation first."""
        kinds = ["saturation"] if peer.command is None else ["saturation", "latency"]
        yield from (f"{peer.name}/{kind}/{mode}/{streams}/{repeat}" for kind in kinds for mode in ("json", "stream"))

    @contextmanager
    def gateway(self, peer: Peer, repeat: int) -> Iterator[tuple[Running | None, int]]:
        """Run a gateway and note how it started."""
        if peer.command is None:
            yield None, self.port
            return
        python = Path(sys.executable) if self.options.here and peer.ours else interpreter(peer)
        folder = self.options.out / peer.name
        folder.mkdir(parents=True, exist_ok=True)
        place = Place(python, free_port(), f"http://127.0.0.1:{self.port}/v1", folder.resolve())
        command = peer.command(place)
        env = surroundings(peer, folder.resolve())
        # Once unmeasured: the first start of an environment compiles its modules.
        for cold in (True, False) if repeat == 0 else (False,):
            with started(command, folder / "log.txt", [self.cores[0]], env) as running:
                seconds = wait_until_up(running, place.port, peer.ready, peer.patience)
                if cold:
                    continue
                self.results.put(
                    f"{peer.name}/start/{repeat}",
                    {"seconds": seconds, "megabytes": running.megabytes(), "versions": versions(python)},
                )
                yield running, place.port

    def measure(self, key: str, peer: Peer, gateway: Running | None, port: int, streams: int) -> None:
        """Measure one row."""
        _, kind, mode, *_ = key.split("/")
        if kind == "saturation":
            row = self.load(gateway, port, streams, mode, "tokens=16", None)
        else:
            half = float(str(self.results.rows[key.replace("latency", "saturation")]["per_second"])) / 2
            rate = max(1.0, min(half, streams * 1000 / DELAY))
            order = f"delay={DELAY} tokens=16"
            row = self.load(gateway, port, streams, mode, order, rate)
            row |= {"rate": rate, "direct": self.load(None, self.port, streams, mode, order, rate)}
        self.results.put(key, row)
        print(f"{key:40} {row['per_second']:10.1f}/s  {row['latency_ms']}  {row['bad'] or ''}", flush=True)

    def load(
        self, gateway: Running | None, port: int, streams: int, mode: str, order: str, rate: float | None
    ) -> dict[str, object]:
        """Run the load generator once, and see what everybody spent meanwhile."""
        command = [sys.executable, str(HERE / "load.py"), f"http://127.0.0.1:{port}/v1/chat/completions"]
        command += ["--streams", str(streams), "--seconds", str(self.options.seconds), "--order", order]
        command += ["--stream"] if mode == "stream" else []
        command += ["--rate", str(rate)] if rate is not None else []
        before = self.source.cpu(), gateway.cpu() if gateway else 0.0
        began = time.perf_counter()
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, [self.cores[1]]),
        )
        took = time.perf_counter() - began
        row: dict[str, object] = json.loads(done.stdout)
        row["upstream_busy"] = (self.source.cpu() - before[0]) / took
        if gateway is not None:
            spent = gateway.cpu() - before[1]
            # Over all that was answered, the warm-up and the last ones too: that is what the time was spent on.
            row |= {"gateway_busy": spent / took, "cpu_ms": 1000 * spent / max(1, int(str(row["answered"])))}
        return row


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=",".join(PEERS), help="which ones, with commas")
    parser.add_argument("--streams", default="1,16,64,256")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cores", default="0,1", help="the gateway's, and that of upstream and generator")
    parser.add_argument("--here", action="store_true", help="run ponder and the relay with this interpreter")
    parser.add_argument("--quick", action="store_true", help="one second each, 1 and 16 streams, once")
    parser.add_argument("--out", type=Path, default=Path("runs") / "gateway")
    parser.add_argument("--table", action="store_true", help="only write the tables of what is measured")
    options = parser.parse_args()
    if options.quick:
        options.streams, options.seconds, options.repeats = "1,16", 1.0, 1
    options.streams = [int(number) for number in options.streams.split(",")]
    options.peers = options.peers.split(",")
    unknown = set(options.peers) - set(PEERS)
    if unknown:
        parser.error(f"there is no peer {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return options


def main() -> None:
    """Measure, and write results.json and table.md."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    settings: dict[str, object] = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores",
        "cores": options.cores,
        "seconds": options.seconds,
        "streams": options.streams,
    }
    results = Results.open(options.out / "results.json", settings)
    if not options.table:
        for peer in {PEERS[name].packages: PEERS[name] for name in options.peers}.values():
            if peer.packages and not (options.here and peer.ours):
                install(peer)
        first, second = (int(core) for core in options.cores.split(","))
        with upstream(options.out, [second]) as (source, port):
            bench = Bench(options, results, (first, second), source, port)
            for repeat in range(options.repeats):
                for name in options.peers:
                    try:
                        bench.peer(PEERS[name], repeat)
                    except (NotUp, subprocess.CalledProcessError) as error:
                        # The others can still be measured; a later run tries this one again.
                        print(f"{name} failed: {error}", file=sys.stderr)
    table = report(results.rows, {name: peer.about for name, peer in PEERS.items()}, options.streams, settings)
    (options.out / "table.md").write_text(table)
    print(f"\n{table}")


if __name__ == "__main__":
    main()

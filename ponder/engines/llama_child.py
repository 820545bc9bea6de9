"""The process that holds a llama.cpp model: run as a file, it serves until its parent says a word or is gone.

A process of its own because a failed assertion in llama.cpp aborts, loading holds the interpreter's lock, and memory
comes back for certain only when a process ends. It imports nothing of ours, so that a crash cannot be blamed on us.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import sys
from typing import Any


def _parameters(config: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = config["model"]
    params.n_parallel = config["slots"]
    params.n_ctx = config["slots"] * config["context"]
    # Small batches, because a stream that is left while its prompt is read stops only between two of them.
    params.n_batch = params.n_ubatch = config["batch"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = config["threads"]
    params.warmup, params.verbosity, params.ui, params.fit_params = False, 1, False, False
    params.check_tensors = config["check"]  # Else a file with noise in it loads and answers rubbish.
    # The parent places every call itself. A unified cache would let one long call end all others.
    params.cache_ram_mib, params.cache_idle_slots, params.kv_unified = 0, False, False
    params.slot_save_path = config["states"] + os.sep
    params.endpoint_metrics = params.endpoint_slots = params.endpoint_props = True
    params.api_keys = [config["key"]]
    if config["socket"]:
        params.hostnames = [config["socket"]]
    if config["chat_template"]:
        params.chat_template = config["chat_template"]
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 1.0) for path in config["adapters"]]
    return params


def _wait_for_parent(parent: int) -> None:
    """Return at a word from the parent, when the pipe closes, or when the parent is gone.

    A pipe alone does not tell: a process that the parent forked may hold its other end.
    """
    if os.name != "posix":
        sys.stdin.buffer.readline()
        return
    while os.getppid() == parent and not select.select([sys.stdin], [], [], 1.0)[0]:
        pass


def _main() -> None:
    parent = os.getppid()
    # What llama.cpp prints must not mix with the one line that the parent reads.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    config = json.loads(sys.stdin.buffer.readline())
    try:
        import xllamacpp

        server = xllamacpp.Server(_parameters(config))
    except (ImportError, RuntimeError) as error:
        print(json.dumps({"error": str(error), "missing": isinstance(error, ImportError)}), file=answer, flush=True)
        os._exit(1)
    print(json.dumps({"address": server.listening_address}), file=answer, flush=True)
    _wait_for_parent(parent)
    shutil.rmtree(config["states"], ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    _main()

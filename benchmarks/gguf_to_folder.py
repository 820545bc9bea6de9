"""Put a GGUF file's weights into a transformers folder in bfloat16, for servers that read no GGUF.

Needs torch, transformers, gguf and accelerate: `python benchmarks/gguf_to_folder.py model.gguf FOLDER`.
"""

from __future__ import annotations

import sys
from pathlib import Path


def convert(file: Path, folder: Path) -> None:
    """Write weights, configuration and tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.bfloat16)
    # The weights are no longer quantised: what says so would make the next loader look for a GGUF file.
    model.hf_quantizer = None
    if "quantization_config" in vars(model.config):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    convert(Path(sys.argv[1]), Path(sys.argv[2]))

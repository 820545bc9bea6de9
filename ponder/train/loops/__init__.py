"""Training loops: supervised fine-tuning on TRL's trainer, with checkpoints that continue to the same numbers."""

"""`ponder train`: make a model that thinks less."""

from __future__ import annotations

import click

from ponder.cli.train_base import base
from ponder.cli.train_prm import prm
from ponder.cli.train_probe import probe
from ponder.cli.train_router import router
from ponder.cli.train_sft import sft


@click.group()
def train() -> None:
    """Train models on this machine. Interrupted, the same command goes on where the last checkpoint stands."""


train.add_command(sft)
train.add_command(base)
train.add_command(router)
train.add_command(probe)
train.add_command(prm)

"""Keys and values of the running streams, one row each in one block of memory, so that a batch needs no copying.

Rows have lengths of their own: a row's next token is written behind its last one, and the mask hides what lies beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers.cache_utils import Cache, DynamicLayer

from ponder.engines.torch.tree import Segment

_STEP = 256


@dataclass(slots=True)
class _Place:
    """Where the next pass reads, `rows` up to `end`, and writes, `into` and `columns`: as slices where that will do,
    else as indices of shape (rows, 1) and (rows, new).
    """

    rows: slice | torch.Tensor = field(default_factory=lambda: slice(0))
    into: slice | torch.Tensor = field(default_factory=lambda: slice(0))
    columns: slice | torch.Tensor = field(default_factory=lambda: slice(0))
    end: int = 0


class _Layer(DynamicLayer):  # type: ignore[misc]
    """One layer's block: keys and values of shape (slots, heads, room, head size)."""

    def __init__(self, place: _Place) -> None:
        super().__init__()
        self.place = place
        self.slots = self.room = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate the block. Zeros, because what the mask hides must still be a number."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = self._block(key_states)
        self.values = self._block(value_states)
        self.is_initialized = True

    def _block(self, like: torch.Tensor) -> torch.Tensor:
        return like.new_zeros((self.slots, like.shape[1], self.room, like.shape[3]))

    def resize(self, slots: int, room: int) -> None:
        """Move to a larger block."""
        self.slots, self.room = slots, room
        if self.is_initialized:
            self.keys, self.values = _grown(self.keys, slots, room), _grown(self.values, slots, room)

    def release(self) -> None:
        """Forget the block."""
        self.keys = self.values = None
        self.slots = self.room = 0
        self.is_initialized = False

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new keys and values behind those of their rows; return all that these rows hold."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        place = self.place
        for block, states in ((self.keys, key_states), (self.values, value_states)):
            # What is indexed by two tensors comes to the front: (rows, new, heads, head size).
            even = isinstance(place.into, slice)
            block[place.into, :, place.columns] = states if even else states.transpose(1, 2)
        return self.keys[place.rows, :, : place.end], self.values[place.rows, :, : place.end]

    def get_seq_length(self) -> int:
        """Return how far the longest row goes; positions are always given, so nothing rests on it."""
        return self.place.end


def _grown(block: torch.Tensor, slots: int, room: int) -> torch.Tensor:
    larger = block.new_zeros((slots, block.shape[1], room, block.shape[3]))
    larger[: block.shape[0], :, : block.shape[2]] = block
    return larger


class Slab:
    """The block of all layers. `cache` is what the model's forward pass takes; rows are told to it by `aim`."""

    def __init__(self, layers: int, device: torch.device | str = "cpu") -> None:
        self._place = _Place()
        self._device = device
        self._layers = [_Layer(self._place) for _ in range(layers)]
        self.cache = Cache(layers=self._layers)
        self._slots = self._room = 0

    def reserve(self, slots: int, room: int) -> None:
        """Make room for so many rows of so many tokens."""
        if slots > self._slots or room > self._room:
            self._slots = max(slots, self._slots)
            self._room = max(-(-room // _STEP) * _STEP, self._room)
            for layer in self._layers:
                layer.resize(self._slots, self._room)

    def clear(self) -> None:
        """Give the memory back; no row holds anything after that."""
        self._slots = self._room = 0
        for layer in self._layers:
            layer.release()

    def aim(self, rows: Sequence[int], starts: Sequence[int], new: int) -> None:
        """Say where the next pass writes: `new` tokens in each of `rows`, ascending, from `starts` on."""
        place, end = self._place, max(starts) + new
        together = rows[-1] - rows[0] == len(rows) - 1
        indices = torch.tensor(rows, device=self._device)
        place.end, place.rows = end, slice(rows[0], rows[-1] + 1) if together else indices
        if together and min(starts) == end - new:
            place.into, place.columns = place.rows, slice(end - new, end)
        else:
            first = torch.tensor(starts, device=self._device)
            place.into, place.columns = indices[:, None], first[:, None] + torch.arange(new, device=self._device)

    def read(self, row: int, start: int, end: int) -> Segment:
        """Return a copy of a row's keys and values."""
        return [block[row, :, start:end].clone() for layer in self._layers for block in (layer.keys, layer.values)]

    def write(self, row: int, start: int, segments: Sequence[Segment]) -> int:
        """Put keys and values, in pieces, into a row from `start` on; return where they end."""
        if not segments:
            return start
        # A reply that grew step by step comes in many pieces: joined, each layer is written once.
        joined = (
            segments[0] if len(segments) == 1 else [torch.cat(pieces, dim=1) for pieces in zip(*segments, strict=True)]
        )
        end = start + int(joined[0].shape[1])
        for layer, keys, values in zip(self._layers, joined[::2], joined[1::2], strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(keys[None], values[None])
            layer.keys[row, :, start:end] = keys
            layer.values[row, :, start:end] = values
        return end

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of a row to another one."""
        for layer in self._layers:
            if layer.is_initialized:
                layer.keys[target, :, :length] = layer.keys[source, :, :length]
                layer.values[target, :, :length] = layer.values[source, :, :length]

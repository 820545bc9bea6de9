"""The model and its running streams: prompts are read in pieces, and one step decodes a token for many streams."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from ponder.core.engine import Chunk, Logprob, Sampling, StreamFinish, Usage
from ponder.core.errors import EngineError, OptionError
from ponder.core.problem import Prompt
from ponder.engines.torch.adapters import Adapters, Lora, Scales, scales_of
from ponder.engines.torch.hidden import States, pack, resolve
from ponder.engines.torch.load import Loaded
from ponder.engines.torch.render import Renderer
from ponder.engines.torch.reply import Reply
from ponder.engines.torch.sampler import certainty, draw, logprob, noise, seed_of
from ponder.engines.torch.slab import Slab
from ponder.engines.torch.tree import PrefixTree, shared

_PIECE = 256
"""How many prompt tokens are read in one go: running streams wait that long, and so does leaving."""
_WORTH = 16
"""From how many tokens on it pays to wait until another stream has read what two prompts have in common."""


@dataclass(eq=False, slots=True)
class Row:
    """One stream. `ids` are prompt and reply, `prompt` and `head` how many of them are the prompt and the conversation;
    the slab holds keys and values of the first `known`. `slot` is its row in the slab. Of the prompt's ids, those from
    `given` on are forced and still to be given out; `layers` are the hidden states that are asked for.
    """

    ids: list[int]
    prompt: int
    head: int
    given: int
    sampling: Sampling
    layers: tuple[int, ...]
    scales: Scales
    reply: Reply
    slot: int
    known: int = 0
    cached: int | None = None
    """How many tokens of the prompt came from the tree; None until that was looked up."""
    generated: int = 0
    told: bool = False
    """Whether the size of the prompt was reported."""

    @property
    def reading(self) -> bool:
        """Whether its prompt is still to be read; the last token always goes through a decoding step."""
        return self.cached is None or self.known < len(self.ids) - 1

    @property
    def left(self) -> int:
        """How many tokens of its prompt are still to be read."""
        return len(self.ids) - 1 - self.known

    @property
    def scores(self) -> bool:
        """Whether forced tokens are still to be scored, so that the positions before them must be computed."""
        return self.given < self.prompt and bool(self.sampling.logprobs or self.sampling.certainty or self.layers)

    @property
    def wanted(self) -> list[int]:
        """The part of the prompt whose keys and values may come from elsewhere: not that which logits are asked of."""
        return self.ids[: self.given - 1 if self.scores else self.prompt - 1]

    @property
    def usage(self) -> Usage:
        """What the stream has cost so far."""
        return Usage(self.prompt, self.generated, self.cached)


class _Out(NamedTuple):
    """What comes out of a pass: logits of shape (rows, positions, vocabulary), states by layer, and for each row that
    asks for them the certainties by position.
    """

    logits: torch.Tensor
    states: States
    sure: Mapping[int, Sequence[float]]


class Batch:
    """All streams of one model; for one thread, inside `torch.inference_mode()`.

    `positions` counts what went through the model, `generated` the tokens drawn.
    """

    def __init__(
        self, loaded: Loaded, renderer: Renderer, name: str, kept: int, loras: Mapping[str, Lora] | None = None
    ) -> None:
        self.rows: list[Row] = []
        self.positions = self.generated = 0
        self._loaded, self._renderer, self._name = loaded, renderer, name
        self._slab = Slab(loaded.layers, loaded.device)
        self._tree = PrefixTree(kept)
        self._adapters = Adapters(loaded.model, loras or {})

    def add(self, prompt: Prompt, sampling: Sampling) -> Row:
        """Take a stream in. Raises `PonderError` for a prompt that this model cannot read."""
        if sampling.ban:
            sampling = replace(sampling, logit_bias=sampling.logit_bias + self._renderer.banned(sampling.ban), ban=())
        rendered = self._renderer.render(prompt)
        if not rendered.ids:
            raise OptionError(f"{self._name}: the prompt is empty; ask something")
        ids = [*rendered.ids, *self._renderer.spelt(sampling.force)]
        if len(ids) + (sampling.max_tokens > 0) > self._loaded.context:
            raise EngineError(
                f"{self._name}: the prompt takes {len(ids)} tokens of a context of {self._loaded.context}, so "
                "none is left for a reply; shorten it",
                status=400,
            )
        if not all(0 <= token < self._loaded.words for token in ids):
            raise OptionError(f"{self._name}: the prefill holds an id that the model does not know; take its own ids")
        reply = Reply(
            self._renderer.decode,
            rendered.ids[rendered.head :],
            self._renderer.think_of(rendered),
            prompt.prefill,
            sampling.stop,
        )
        layers, scales = resolve(sampling.hidden, self._loaded.layers), scales_of(sampling)
        given = len(rendered.ids)
        row = Row(ids, len(ids), rendered.head, given, sampling, layers, scales, reply, len(self.rows))
        self.rows.append(row)
        return row

    def recall(self, rows: Sequence[Row]) -> list[list[Chunk]]:
        """Take over what is known of the beginning of these prompts; the return value is that of `read`."""
        for row in rows:
            self._recall(row)
        return [self._after(row, None) for row in rows]

    def due(self, waiting: Sequence[Row]) -> list[Row]:
        """Return those that gain nothing from waiting for what another one, before them, is reading."""
        return [row for index, row in enumerate(waiting) if row.cached is None and self._is_due(row, waiting[:index])]

    def _is_due(self, row: Row, before: Sequence[Row]) -> bool:
        """Say whether what one of those before it is reading would spare a prompt too little to wait for it.

        The cheap bounds come first: of forks of what is known, hundreds may wait at a time.
        """
        wanted = row.wanted
        known = self._tree.known(wanted, row.scales)
        if len(wanted) - known < _WORTH:
            return True
        soon = max((shared(other.ids, wanted) for other in before if other.scales == row.scales), default=0)
        return soon - max(known, 0 if soon < _WORTH else self._best(row, wanted, known)[1]) < _WORTH

    def pick(self, reading: Sequence[Row]) -> list[Row]:
        """Return those of the prompts, ascending by slot, that go through the model together: the first one in any
        case, and others of about the same length while there is room.
        """
        picked = list(reading[:1])
        for row in reading[1:]:
            lengths = [one.left for one in (*picked, row)]
            alike = 2 * min(lengths) >= max(lengths) and not any(one.scores for one in (*picked, row))
            if alike and max(lengths) * len(lengths) <= _PIECE:
                picked.append(row)
        return sorted(picked, key=lambda row: row.slot)

    def read(self, rows: Sequence[Row]) -> list[list[Chunk]]:
        """Read one piece of each of these prompts, which `pick` has chosen.

        Return the chunks of the forced tokens up to there. The last one has a finish if nothing is to be generated.
        """
        news = [min(_PIECE, row.left) for row in rows]
        row, new = rows[0], news[0]
        # A token is scored by the position before it; those before the forced ones are of no interest.
        scored = max(row.known + new + 1 - row.given, 0) if row.scores else 0
        out = self._forward(rows, news, max(scored, 1), row.layers if scored else ())
        for row, new in zip(rows, news, strict=True):
            row.known += new
        return [self._after(row, out if scored else None) for row in rows]

    def _after(self, row: Row, out: _Out | None) -> list[Chunk]:
        """Return the chunks that are known now that a prompt was read so far; `out` scores the forced tokens."""
        if not row.reading:
            self._remember(row)
        chunks = self._give(row, out)
        if not row.reading and not row.sampling.max_tokens:
            chunks += row.reply.end("length", row.usage)
        return self._told(row, chunks)

    def _give(self, row: Row, out: _Out | None) -> list[Chunk]:
        """Give out the forced tokens that are read, or come next; `out` are the positions before them, if scored."""
        chunks: list[Chunk] = []
        first, row.given = row.given, max(row.given, row.known + 1)
        for index, token in enumerate(row.ids[first : row.given]):
            score = (None, None) if out is None else self._score(row, token, out, 0, index)
            chunks += row.reply.feed(token, *score, silent=token in self._renderer.silent, forced=True)
        return chunks

    def decode(self, rows: Sequence[Row]) -> list[list[Chunk]]:
        """Generate one token for each of `rows`, ascending by slot; return the chunks of each.

        A row whose last chunk has a finish is at its end, and is to be removed.
        """
        out = self._forward(rows, [1] * len(rows), 1, {layer for row in rows for layer in row.layers})
        logits = out.logits[:, -1]
        if not bool(logits.amax(dim=-1).isfinite().all()):
            raise EngineError(
                f"{self._name}: the model's logits are no finite numbers; open it in another type (dtype float32 or "
                "bfloat16), and get the weights again if that does not help"
            )
        points = [(row.sampling, noise(seed_of(row.sampling), len(row.ids) - row.head)) for row in rows]
        tokens = draw(logits, points)
        self.generated += len(rows)
        return [self._take(row, token, out, index) for index, (row, token) in enumerate(zip(rows, tokens, strict=True))]

    def _score(
        self, row: Row, token: int, out: _Out, index: int, position: int
    ) -> tuple[Logprob | None, memoryview | None]:
        """Return what is asked about a token: its log-probability, and the states that its logits came from."""
        rivals, sure = row.sampling.logprobs, out.sure[index][position] if index in out.sure else None
        probability = None
        if rivals or sure is not None:
            probability = logprob(out.logits[index, position], token, rivals, self._renderer.spell, sure)
        return probability, pack(out.states, row.layers, index, position)

    def _take(self, row: Row, token: int, out: _Out, index: int) -> list[Chunk]:
        """Append a token to its row; return what is known with it."""
        probability, hidden = self._score(row, token, out, index, -1)
        row.known += 1
        row.ids.append(token)
        row.generated += 1
        chunks, finish = self._chunks(row, token, probability, hidden)
        if finish is not None:
            chunks += row.reply.end(finish, row.usage)
        return self._told(row, chunks)

    def _told(self, row: Row, chunks: list[Chunk]) -> list[Chunk]:
        """Put the size of the prompt on the first chunk of a reply."""
        if chunks and not row.told:
            row.told = True
            if chunks[0].usage is None:
                chunks[0] = chunks[0]._replace(usage=Usage(row.prompt, None, row.cached))
        return chunks

    def _chunks(
        self, row: Row, token: int, probability: Logprob | None, hidden: memoryview | None
    ) -> tuple[list[Chunk], StreamFinish | None]:
        if token in self._loaded.ends:
            row.reply.close(probability, hidden)
            return [], "stop"
        chunks = row.reply.feed(token, probability, hidden, silent=token in self._renderer.silent)
        if row.reply.matched is not None:
            return chunks, "stop"
        full = row.generated == row.sampling.max_tokens or len(row.ids) >= self._loaded.context
        return chunks, "length" if full else None

    def remove(self, row: Row) -> None:
        """Let a stream go; what it has read and written stays known."""
        self._remember(row)
        last = self.rows.pop()
        if last is not row:
            self._slab.move(last.slot, row.slot, last.known)
            last.slot = row.slot
            self.rows[row.slot] = last
        if not self.rows:
            self._slab.clear()

    def drop(self, row: Row) -> None:
        """Let a stream go after a failure: what the slab holds of it may be wrong."""
        row.known = 0
        self.remove(row)

    def _remember(self, row: Row) -> None:
        self._tree.insert(row.ids[: row.known], lambda start, end: self._slab.read(row.slot, start, end), row.scales)

    def _recall(self, row: Row) -> None:
        wanted = row.wanted
        if (known := self._tree.known(wanted, row.scales)) < len(wanted):
            best, _ = self._best(row, wanted, known)
            if best is not None:
                self._remember(best)
        self._slab.reserve(len(self.rows), len(row.ids))
        row.cached = row.known = self._slab.write(row.slot, 0, self._tree.match(wanted, row.scales))

    def _best(self, row: Row, wanted: Sequence[int], known: int) -> tuple[Row | None, int]:
        """Return the stream that has read most of what is wanted of a prompt, and how much: None for no more than is
        `known` from the tree.
        """
        best, most = None, known
        for other in self.rows:
            # Hundreds of forks are taken in at a time, and most of them differ at this very token.
            more = known < other.known and other.ids[known] == wanted[known] and other.scales == row.scales
            if more and (length := shared(other.ids[: other.known], wanted)) > most:
                best, most = other, length
        return best, most

    def _forward(self, rows: Sequence[Row], news: Sequence[int], kept: int, layers: Collection[int]) -> _Out:
        """Run the next `news` tokens of each row, ascending by slot; return the logits of the last `kept`, and states.

        Shorter rows are filled up behind their end: what is written there is never seen, and overwritten later.
        """
        device, starts, width = self._loaded.device, [row.known for row in rows], max(news)
        self._slab.reserve(len(self.rows), max(starts) + width)
        self._slab.aim([row.slot for row in rows], starts, width)
        ids = [row.ids[row.known : row.known + new] + [0] * (width - new) for row, new in zip(rows, news, strict=True)]
        places = torch.tensor(starts, device=device)[:, None] + torch.arange(width, device=device)
        if min(news) < width:
            # Behind the end of the context there is no position.
            places = places.clamp(max=self._loaded.context - 1)
        hidden = torch.arange(max(starts) + width, device=device) > places[:, None, :, None]
        dtype = self._loaded.model.dtype
        # Additive and in the model's type: eager attention would add a boolean mask as 0 and 1 without a word.
        mask = torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill(hidden, torch.finfo(dtype).min)
        self._adapters.use([row.scales for row in rows])
        out = self._loaded.model(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=mask,
            position_ids=places,
            past_key_values=self._slab.cache,
            use_cache=True,
            logits_to_keep=kept,
            output_hidden_states=sorted(layers) or False,
        )
        self.positions += sum(news)
        states = {layer: out.hidden_states[layer][:, -kept:] for layer in layers}
        logits = out.logits[:, -kept:].float()
        return _Out(logits, states, self._sure(rows, logits))

    def _sure(self, rows: Sequence[Row], logits: torch.Tensor) -> Mapping[int, Sequence[float]]:
        """Return the certainties of the rows that ask for them, at all positions, by one sum over the vocabulary."""
        asked = [index for index, row in enumerate(rows) if row.sampling.certainty]
        if not asked:
            return {}
        found = certainty(logits[asked] if len(asked) < len(rows) else logits, self._loaded.spelled)
        return dict(zip(asked, found.tolist(), strict=True))

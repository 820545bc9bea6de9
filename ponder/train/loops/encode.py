"""Turns conversations into token ids: the model's own template renders the prompt, the last reply is what is learnt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from ponder.core.errors import DataError
from ponder.train.loops.messages import Conversation

_MARK = "\u241f"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row in tokens: the first `prompt` of `ids` are given, the rest is learnt.

    With `votes`, as (place, token), only these are learnt, each in the place of what stands there.
    """

    ids: tuple[int, ...]
    prompt: int
    votes: tuple[tuple[int, int], ...] = ()

    @property
    def learnt(self) -> Sequence[tuple[int, int]]:
        """The places that are learnt, and the token that each should hold."""
        return self.votes or tuple(enumerate(self.ids))[self.prompt :]

    @property
    def completion(self) -> int:
        """Number of tokens that are learnt, the one that ends the turn included."""
        return len(self.votes) or len(self.ids) - self.prompt


def encode(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Conversation]) -> list[Encoded]:
    """Return the rows in tokens. Raises `DataError` for a tokenizer without chat template or end of turn, and for
    votes that are no token of its own.
    """
    check_template(tokenizer)
    plain = iter(_plain(tokenizer, [row for row in rows if not row.votes]))
    return [_voted(tokenizer, row) if row.votes else next(plain) for row in rows]


def _plain(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Conversation]) -> list[Encoded]:
    if not rows:
        return []
    end = end_of_turn(tokenizer)
    # Questions come again and again, and rendering one takes as long as cutting it.
    asked = {(row.messages[:-1], row.thinking) for row in rows}
    rendered = {one: _render(tokenizer, one[0], ask=True, thinking=one[1]) for one in asked}
    prompts = [rendered[row.messages[:-1], row.thinking] + row.given for row in rows]
    given = _ids(tokenizer, prompts)
    # Some templates open the thought themselves.
    texts = [_behind(prompt, row.messages[-1][1]) for prompt, row in zip(prompts, rows, strict=True)]
    learnt = _ids(tokenizer, texts)
    return [Encoded((*p, *c, end), len(p)) for p, c in zip(given, learnt, strict=True)]


def _voted(tokenizer: PreTrainedTokenizerBase, row: Conversation) -> Encoded:
    """Return a row of which votes are learnt, where a scorer would read them: behind prompts, or behind tags."""
    said, tag = row.messages, row.tag
    prompt = _render(tokenizer, said[:-1], ask=True, thinking=row.thinking)
    head, text = _cut(tokenizer, prompt), said[-1][1]
    if tag:
        tags = re.finditer(re.escape(tag), text)
        body = _cut(tokenizer, text[: text.rindex(tag) + len(tag)])
        places = [len(head) + _place(body, found.end(), row, tag) for found in tags]
        ids = [id for id, _ in head + body]
    else:
        turns = [number for number, (role, _) in enumerate(said) if role == "assistant"]
        begun = [_render(tokenizer, said[:turn], ask=True, thinking=row.thinking) for turn in turns]
        if not all(prompt.startswith(one) for one in begun):
            raise DataError(
                f"{tokenizer.name_or_path}: its template writes a conversation anew when it goes on, so that votes in "
                f"turns cannot be learnt together; write them with a tag"
            )
        places = [_place(head, len(one), row, "a prompt") for one in begun]
        ids = [id for id, _ in head]
    votes = [(place, _word(tokenizer, vote)) for place, vote in zip(places, row.votes, strict=True) if vote]
    # A vote stands where the token behind its place would; the last one has none yet.
    return Encoded((*ids, votes[-1][1]), len(ids), tuple(votes))


def _cut(tokenizer: PreTrainedTokenizerBase, text: str) -> list[tuple[int, int]]:
    """Return the tokens of a text, and the character that each ends before."""
    if not tokenizer.is_fast:
        raise DataError(f"{tokenizer.name_or_path} does not tell where its tokens end; votes need tokenizer.json")
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return [(id, end) for id, (_, end) in zip(found["input_ids"], found["offset_mapping"], strict=True)]


def _place(tokens: Sequence[tuple[int, int]], end: int, row: Conversation, what: str) -> int:
    """Return how many tokens stand before the character `end`. Raises `DataError` where one goes beyond it."""
    # Of a character in several tokens, each ends where it ends.
    count = sum(1 for _, there in tokens if there <= end)
    if not count or tokens[count - 1][1] != end:
        raise DataError(f"line {row.line}: a token goes on behind {what!r}; choose another tag or delimiter")
    return count


def _word(tokenizer: PreTrainedTokenizerBase, vote: str) -> int:
    (ids,) = _ids(tokenizer, [vote])
    if len(ids) != 1:
        raise DataError(f"{tokenizer.name_or_path} writes the vote {vote!r} in {len(ids)} tokens; choose one of one")
    return ids[0]


def render_prompts(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[Sequence[tuple[str, str]]]
) -> list[list[int]]:
    """Return the ids of each list of messages, up to where the assistant begins."""
    check_template(tokenizer)
    return _ids(tokenizer, [_render(tokenizer, question, ask=True) for question in questions])


def check_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise `DataError` for a tokenizer that cannot render conversations."""
    if not tokenizer.chat_template:
        raise DataError(
            f"{tokenizer.name_or_path} has no chat template; put its chat_template.jinja into the folder, "
            "or give one with --chat-template FILE"
        )


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id of the token that the template writes behind an assistant's message, else the end of text."""
    rendered = _render(tokenizer, (("user", "?"), ("assistant", _MARK)), ask=False)
    (behind,) = _ids(tokenizer, [rendered.rpartition(_MARK)[2]])
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    for id in behind:
        if id in special:
            return id
    if tokenizer.eos_token_id is None:
        raise DataError(f"{tokenizer.name_or_path} names no token that ends a turn; set eos_token in its tokenizer")
    return int(tokenizer.eos_token_id)


def _behind(prompt: str, reply: str) -> str:
    """Return what is left of a reply behind a prompt that ends with its beginning, such as an opened thought."""
    for opening in ("<think>\n", "<think>"):
        if prompt.endswith(opening) and reply.startswith(opening.rstrip()):
            return reply.removeprefix(opening.rstrip()).removeprefix("\n" if opening.endswith("\n") else "")
    return reply


def _render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[tuple[str, str]], *, ask: bool, thinking: bool | None = None
) -> str:
    said = [{"role": role, "content": content} for role, content in messages]
    switch = {} if thinking is None else {"enable_thinking": thinking}
    return str(tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=ask, **switch))


def _ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    different = list(dict.fromkeys(texts))
    ids: list[list[int]] = tokenizer(different, add_special_tokens=False, verbose=False)["input_ids"]
    found = dict(zip(different, ids, strict=True))
    return [list(found[text]) for text in texts]

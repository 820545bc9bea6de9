"""Turns conversations into token ids: the model's own template renders the prompt, the last reply is what is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from ponder.core.errors import DataError
from ponder.train.loops.messages import Conversation

_MARK = "\u241f"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row in tokens: the first `prompt` of `ids` are given, the rest is learnt."""

    ids: tuple[int, ...]
    prompt: int

    @property
    def completion(self) -> int:
        """Number of tokens that are learnt, the one that ends the turn included."""
        return len(self.ids) - self.prompt


def encode(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Conversation]) -> list[Encoded]:
    """Return the rows in tokens. Raises `DataError` for a tokenizer without chat template or end of turn."""
    check_template(tokenizer)
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

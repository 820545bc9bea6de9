from __future__ import annotations

import pytest

from ponder.text.errands import chore, trivial

HISTORY = "\n\n<chat_history>\nuser: how do I knit?\nassistant: with needles\n</chat_history>"


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("### Task:\nGenerate a short title of three words for this conversation." + HISTORY, "title"),
        ("Provide a title of at most five words for the conversation, without quotation marks.\n\nUser: hi", "title"),
        ("Please write a brief title for the chat above.", "title"),
        ("### Task:\nGenerate 1-3 tags for the main subjects of the chat history." + HISTORY, "tags"),
        ("### Task:\nSuggest 3 relevant follow-up questions, based on the chat history." + HISTORY, "follow-ups"),
        ("Your task is to generate search queries for the conversation below.\nuser: weather", "search query"),
        ("Reply with an emoji that fits the conversation.", "emoji"),
    ],
)
def test_chores_of_chat_programs_are_known(question: str, kind: str) -> None:
    assert chore(question) == kind


@pytest.mark.parametrize(
    "question",
    [
        "Write a poem with the title 'Autumn'.",
        "Create a title bar for my chat app in React.",
        "Create a title screen for the chat.",
        "Given a table with columns name and labels from the chat history, write pandas code that counts them.",
        "Prove that the conversation lemma holds, and follow up with a corollary.",
        "How do I generate tags for a git repository?",
        "What is the title of the conversation between Socrates and Phaedrus?",
        "How many tags are in the following dialogue?",
        "x" * 700 + "\nGenerate a title for this conversation.",
    ],
)
def test_what_only_sounds_like_one_is_none(question: str) -> None:
    assert chore(question) is None


def test_a_system_message_counts_where_it_makes_the_model_a_namer() -> None:
    assert chore("how do I knit?", "You are a title generator. You write thread titles.") == "title"
    assert chore("how do I knit?", "Be helpful. Give the conversation structure, with titles and tags.") is None
    assert chore("how do I knit?", "You are a coder." + " " * 300 + "title generator") is None


@pytest.mark.parametrize(
    "text", ["Hi", "hello there!", "Good morning.", "thanks a lot", "Thank you!", "你好", "¡hola"[1:], "Hey 👋"]
)
def test_greetings_are_trivial(text: str) -> None:
    assert trivial(text) == "greeting"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ok",
        "yes",
        "continue",
        "Hi, why is the sky blue?",
        "Hello world in Rust",
        "3 + 4",
        "What is 12 + 30?",
        "what's 7 x 8?",
        "12 + 30 + 4",
        "What is 12.5 + 30?",
        "123456 + 654321",
        "37 x 48",
        "12 / 5",
        "What is 2^10?",
        "thanks, now prove it",
        "Why is 1 + 1 = 2?",
    ],
)
def test_in_doubt_a_question_is_not_trivial(text: str) -> None:
    assert trivial(text) is None

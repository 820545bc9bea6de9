from __future__ import annotations

from ponder.core.trace import ROLES, Call, Purse, Role, Trace


def call(role: Role, think: int = 0, answer: int = 0, latent: int = 0, prompt: int = 0, cached: int = 0) -> Call:
    return Call(
        role, "echo", (), 0, think_tokens=think, answer_tokens=answer, latent=latent, prompt_tokens=prompt,
        cached_tokens=cached,
    )  # fmt: skip


def test_a_latent_step_counts_as_a_token() -> None:
    assert call("think", 3, 4, 5).tokens == 12


def test_plain_calls_are_split_where_the_thinking_ends_and_others_are_not() -> None:
    trace = Trace([call("think", 3, 4, 5), call("answer", 1, 2), call("probe", 7, 8, 9), call("verify", 0, 1)])
    assert trace.tokens_by_role == {"think": 9, "answer": 6, "probe": 24, "verify": 1}
    assert trace.tokens == 40 == sum(trace.tokens_by_role.values())


def test_roles_that_cost_nothing_are_left_out() -> None:
    assert Trace([call("draft")]).tokens_by_role == {}
    assert Trace([call("think", answer=2)]).tokens_by_role == {"answer": 2}
    assert set(ROLES) == {"think", "answer", "probe", "draft", "verify", "route"}


def test_prompts_are_summed_apart_from_what_is_generated() -> None:
    trace = Trace([call("think", 1, prompt=100, cached=90), call("probe", 1, prompt=20)])
    assert (trace.tokens, trace.prompt_tokens, trace.cached_tokens) == (2, 120, 90)


def test_a_trace_is_exact_when_every_call_is() -> None:
    assert Trace().exact
    assert not Trace([call("think"), Call("think", "e", (), 0, exact=False)]).exact


def test_a_purse_empties_and_never_goes_below_nothing() -> None:
    purse = Purse(5)
    assert (purse.left, purse.empty) == (5, False)
    purse.spent = 7
    assert (purse.left, purse.empty) == (0, True)


def test_a_purse_without_a_total_is_never_empty() -> None:
    assert (Purse(spent=10**9).left, Purse(spent=10**9).empty) == (None, False)
    assert Purse(0).empty

from __future__ import annotations

import pytest

from ponder.bench.specs import build_methods, check_limits, label_of, parse_options, split_specs
from ponder.core.errors import OptionError
from ponder.methods import catalogue
from ponder.methods.prompt.chain_of_draft import ChainOfDraft
from ponder.methods.prompt.think_for import ThinkFor
from ponder.methods.route.cascade import Cascade
from ponder.methods.route.routellm import RouteLLM
from ponder.methods.route.thinking_route import ThinkingRoute
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.routers.random import RandomRouter
from ponder.scorers.rule import Rule


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("gsm8k", ["gsm8k"]),
        ("gsm8k,svamp", ["gsm8k", "svamp"]),
        ("gsm8k, svamp ,", ["gsm8k", "svamp"]),
        ("arithmetic:level=3,language=zh", ["arithmetic:level=3,language=zh"]),
        ("gsm8k,arithmetic:level=3,language=zh,svamp", ["gsm8k", "arithmetic:level=3,language=zh", "svamp"]),
        ("a:x=1,b:x=2", ["a:x=1", "b:x=2"]),
        ("reasoning_gym:chain_sum,size=50", ["reasoning_gym:chain_sum,size=50"]),
        ("", []),
    ],
)
def test_commas_part_entries_but_not_their_options(text: str, parts: list[str]) -> None:
    assert split_specs(text) == parts


def test_options_reach_into_inner_methods() -> None:
    assert parse_options(["n=8", "inner=sample", "inner.cot=true"]) == {
        "n": "8",
        "inner": {"method": "sample", "cot": "true"},
    }


def test_options_reach_into_the_scorer_that_is_named_beside_them() -> None:
    (method,) = build_methods("best_of_n:scorer=rule,scorer.modulus=7", catalogue()).values()
    assert method == BestOfN(scorer=Rule(modulus=7))


@pytest.mark.parametrize("pair", ["n", "=3", ""])
def test_a_misshapen_option_is_refused(pair: str) -> None:
    with pytest.raises(OptionError, match="KEY=VALUE"):
        parse_options([pair])


def test_methods_are_built_with_their_options() -> None:
    methods = build_methods("sample,self_consistency:n=3,chain_of_draft", catalogue())
    assert list(methods.values()) == [Sample(), SelfConsistency(n=3), ChainOfDraft()]
    assert list(methods) == ["sample", "self_consistency(n=3)", "chain_of_draft"]


def test_a_common_option_goes_to_the_methods_that_have_it() -> None:
    methods = build_methods("sample,chain_of_draft", catalogue(), ["words=7"])
    assert list(methods.values()) == [Sample(), ChainOfDraft(words=7)]


def test_an_own_option_wins_over_a_common_one() -> None:
    (method,) = build_methods("chain_of_draft:words=3", catalogue(), ["words=7"]).values()
    assert method == ChainOfDraft(words=3)


def test_an_option_that_no_method_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"'wrds'; did you mean 'words'\?"):
        build_methods("sample,chain_of_draft", catalogue(), ["wrds=7"])


def test_an_unknown_method_is_refused_with_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"no method 'chain_of_drafts'; did you mean 'chain_of_draft'\?"):
        build_methods("chain_of_drafts", catalogue())


def test_an_option_out_of_range_is_refused() -> None:
    with pytest.raises(OptionError, match=r"words = 0 is out of range"):
        build_methods("chain_of_draft:words=0", catalogue())


def test_naming_a_method_twice_is_refused_but_not_two_settings_of_it() -> None:
    assert len(build_methods("self_consistency:n=2,self_consistency:n=3", catalogue())) == 2
    with pytest.raises(OptionError, match="twice"):
        build_methods("sample,sample", catalogue())


def test_no_method_at_all_is_refused() -> None:
    with pytest.raises(OptionError, match="no method is named"):
        build_methods(" , ", catalogue())


def test_labels_show_what_differs_from_the_default() -> None:
    known = catalogue()
    assert label_of(Sample(), known) == "sample"
    assert label_of(ChainOfDraft(words=3), known) == "chain_of_draft(words=3)"
    nested = SelfConsistency(n=3, inner=ChainOfDraft(words=2))
    assert label_of(nested, known) == "self_consistency(n=3, inner=chain_of_draft(words=2))"
    several = Cascade((Sample(cot=True), ChainOfDraft(words=2)), thresholds=(0.5,))
    assert label_of(several, known) == "cascade(rungs=sample(cot=true),chain_of_draft(words=2), thresholds=0.5)"


def test_labels_write_truth_as_the_command_line_does() -> None:
    (label,) = build_methods("sample:cot=false", catalogue())
    assert label == "sample(cot=false)"


def test_options_reach_into_scorers_and_routers_as_into_methods() -> None:
    assert parse_options(["router=ranking", "router.path=mine", "inner=dynasor", "inner.every=8"]) == {
        "router": {"router": "ranking", "path": "mine"},
        "inner": {"method": "dynasor", "every": "8"},
    }
    methods = build_methods("routellm:router=random,router.salt=7,best_of_n:scorer=random_control", catalogue())
    routellm, _ = methods.values()
    assert routellm == RouteLLM(router=RandomRouter(salt=7))


def test_prompts_may_not_name_more_tokens_than_a_reply_may_have() -> None:
    known = catalogue()
    methods = build_methods("think_for:tokens=512,token_budget:fallback=512,token_budget,budget_forcing:cap=512", known)
    check_limits(methods, 512)
    with pytest.raises(OptionError, match=r"think_for: tokens = 512 is more .*raise --max-tokens 511"):
        check_limits(methods, 511)
    inside = build_methods("self_consistency:inner.method=token_budget,inner.fallback=600", known)
    with pytest.raises(OptionError, match="fallback = 600 is more than a reply may have; lower it"):
        check_limits(inside, 512)
    rung = {"cascade": Cascade(rungs=(Sample(), ThinkFor(tokens=600)))}
    with pytest.raises(OptionError, match=r"cascade: rungs\[1\].tokens = 600 is more than a reply may have"):
        check_limits(rung, 512)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("thinking_mode:mode=budget,tokens=513", "tokens = 513"),
        ("thinking_mode:mode=effort,tokens=513", "tokens = 513"),
        ("auto:tokens=513", "tokens = 513"),
        ("budget_forcing:cap=513", "cap = 513"),
        ("style:template=token_limit,limit=513", "limit = 513"),
        ("self_consistency:inner.method=budget_forcing,inner.cap=513", "inner.cap = 513"),
    ],
)
def test_no_budget_may_be_above_what_a_reply_may_have(spec: str, named: str) -> None:
    methods = build_methods(spec, catalogue())
    check_limits(methods, 513)
    with pytest.raises(
        OptionError, match=f"{named} is more than a reply may have; lower it, or raise --max-tokens 512"
    ):
        check_limits(methods, 512)


def test_of_the_modes_of_a_route_the_numbers_count() -> None:
    route = {"route": ThinkingRoute(modes=("64", "600"))}
    check_limits(route, 600)
    with pytest.raises(OptionError, match=r"route: modes = 600 is more than a reply may have"):
        check_limits(route, 599)
    check_limits({"route": ThinkingRoute(modes=("off", "xhigh"))}, 512)


def test_limits_of_letters_and_labels_are_no_tokens() -> None:
    check_limits(
        build_methods("style:template=char_limit,limit=900,thinking_mode:mode=effort,effort=high", catalogue()), 512
    )

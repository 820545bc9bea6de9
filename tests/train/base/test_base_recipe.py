"""A recipe refuses what cannot be trained, in one sentence that names the field."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ponder.core.errors import OptionError
from ponder.train.base.recipe import SIZES, Recipe
from ponder.train.lab.table import load_family
from ponder.train.lab.thought import Overthinking


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("hidden", 0, "hidden = 0"),
        ("layers", 0, "layers = 0"),
        ("batch", -1, "batch = -1"),
        ("learning_rate", 0.0, "learning_rate = 0.0"),
        ("seed", 0, "seed = 0"),
        ("brief", 1.5, "brief = 1.5"),
        ("direct", -0.1, "direct = -0.1"),
        ("bare", 2.0, "bare = 2.0"),
        ("echoes", -1, "echoes = -1"),
        ("drills", -1, "drills = -1"),
        ("chains", -1, "chains = -1"),
        ("context", 63, "context = 63"),
        ("vocabulary", 263, "vocabulary = 263"),
        ("families", (), "no family"),
        ("heads", 3, "heads = 3"),
        ("kv_heads", 3, "kv_heads = 3"),
    ],
)
def test_what_cannot_be_trained_is_named(field: str, value: object, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Recipe(**{field: value})  # type: ignore[arg-type]


def test_a_recipe_without_rows_is_refused() -> None:
    with pytest.raises(OptionError, match="nothing to train on"):
        Recipe(chains=0, thoughts=0)
    assert Recipe(chains=0).thoughts > 0
    assert Recipe(thoughts=0).chains > 0


def test_a_head_has_two_halves_to_rotate() -> None:
    with pytest.raises(OptionError, match="twice the heads"):
        Recipe(hidden=12, heads=4, kv_heads=1)
    assert Recipe(hidden=16, heads=4, kv_heads=1).hidden == 16


def test_there_are_a_strong_and_a_small_one_on_the_same_questions() -> None:
    strong, small = SIZES["strong"], SIZES["small"]
    assert set(SIZES) == {"strong", "small"}
    assert strong.families == small.families
    assert {load_family(spec).name.partition(":")[0] for spec in strong.families} == {
        "addition", "algebra", "arithmetic", "directional", "modular",
    }  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_thoughts_are_at_least_three_chains_long_in_the_mean(size: str) -> None:
    recipe = SIZES[size]
    for spec in recipe.families:
        puzzles = list(load_family(spec, recipe.seed).puzzles(200))
        thoughts = [Overthinking(recipe.passes, recipe.slips).think(puzzle, recipe.seed) for puzzle in puzzles]
        assert sum(len(one.text) for one in thoughts) >= 3 * sum(len(puzzle.minimal) for puzzle in puzzles), spec


def test_recipes_are_read_without_heavy_packages() -> None:
    code = "import sys, ponder.train.base.recipe; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "tokenizers", "numpy"} & set(done.stdout.split())

"""Adapters against PEFT and against merged weights: alone, at any scale, and side by side in one batch."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lora_folders import save_lora
from tiny_llama import ask, ids_of, read

from ponder.core.engine import Cap, Chunk, Sampling
from ponder.core.errors import DataError, OptionError
from ponder.core.run import Run

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")]

from ponder.engines.torch.adapter_files import read_adapter  # noqa: E402
from ponder.engines.torch.adapters import Adapters, Lora, scales_of  # noqa: E402
from ponder.engines.torch.engine import TorchEngine  # noqa: E402
from ponder.engines.torch.load import load  # noqa: E402

GREEDY = Sampling(max_tokens=16, temperature=0, logit_bias=((1, -math.inf),))
IDS = torch.tensor([[5, 77, 130, 9, 200, 41, 8]])
MIXED: list[tuple[tuple[str, float], ...]] = [
    (), (("a", 1.0),), (("a", 0.5),), (("b", 1.0),), (("a", 1.0), ("b", 0.5)), (("a", 0.0),), (("b", -0.7),)
]  # fmt: skip


@pytest.fixture(scope="module")
def loras(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Path]]:
    """Two adapters: `a` on everything, `b` on two modules only and with another rank."""
    path = tmp_path_factory.mktemp("loras")
    return [
        ("a", save_lora(folder, path / "a", seed=1)),
        ("b", save_lora(folder, path / "b", seed=2, rank=2, target_modules=["q_proj", "down_proj"])),
    ]


@pytest.fixture
async def adapted(folder: Path, loras: list[tuple[str, Path]]) -> AsyncIterator[TorchEngine]:
    async with TorchEngine(folder, dtype="float32", threads=1, adapters=loras) as engine:
        yield engine


@pytest.fixture
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def base(folder: Path) -> torch.nn.Module:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def logits(folder: Path, loras: list[tuple[str, Path]], rows: list[tuple[tuple[str, float], ...]]) -> torch.Tensor:
    """What the model says for the same ids in rows of a batch, each with adapters of its own."""
    loaded = load(folder, "float32")
    adapters = Adapters(loaded.model, {name: read_adapter(path, loaded.model) for name, path in loras})
    adapters.use([scales_of(Sampling(adapters=row)) for row in rows])
    return loaded.model(IDS.expand(len(rows), -1)).logits


def merged(folder: Path, path: Path, scale: float) -> torch.nn.Module:
    """The base with an adapter merged into its weights by hand."""
    model = base(folder)
    lora = read_adapter(path, model)
    for name, (low, high) in lora.pairs.items():
        model.get_submodule(name).weight.data += scale * lora.scaling * high @ low
    return model


def test_a_scale_of_zero_is_no_adapter_and_the_order_does_not_matter() -> None:
    assert scales_of(Sampling(adapters=(("b", 0.5), ("a", 1.0), ("c", 0.0)))) == (("a", 1.0), ("b", 0.5))
    assert scales_of(Sampling(adapters=(("a", 0.0),))) == scales_of(Sampling()) == ()


@pytest.mark.parametrize(
    ("rank", "alpha", "rslora", "scale", "expected"),
    [(32, 64, False, 1.0, 2.0), (32, 64, False, 0.5, 1.0), (32, 64, False, 1.5, 3.0), (2, 8, False, 1.0, 4.0),
     (16, 8, True, 1.0, 2.0)],
)  # fmt: skip
def test_the_factor_is_scale_times_alpha_by_rank(
    folder: Path, tmp_path: Path, rank: int, alpha: int, rslora: bool, scale: float, expected: float
) -> None:
    path = save_lora(folder, tmp_path, rank=rank, alpha=alpha, target_modules=["v_proj"], use_rslora=rslora)
    model = base(folder)
    lora = read_adapter(path, model)
    assert scale * lora.scaling == expected
    name = "model.layers.1.self_attn.v_proj"
    low, high = lora.pairs[name]
    x, layer = torch.randn(1, 3, 64), model.get_submodule(name)
    with torch.inference_mode():
        plain = layer(x)
        Adapters(model, {"a": lora}).use([(("a", scale),)])
        assert torch.allclose(layer(x) - plain, expected * x @ low.T @ high.T, atol=1e-4)


@pytest.mark.usefixtures("inference")
def test_logits_at_scale_zero_are_exactly_those_of_the_base(folder: Path, loras: list[tuple[str, Path]]) -> None:
    own = base(folder)(IDS).logits
    assert torch.equal(logits(folder, loras, [(("a", 0.0),)]), own)
    beside = logits(folder, loras, [(("a", 0.0),), (("a", 1.0),)])
    assert torch.equal(beside[0], base(folder)(IDS.expand(2, -1)).logits[0])
    assert not torch.allclose(beside[0], beside[1], atol=0.1)


@pytest.mark.usefixtures("inference")
@pytest.mark.parametrize("number", [0, 1])
def test_logits_at_scale_one_are_those_of_peft(folder: Path, loras: list[tuple[str, Path]], number: int) -> None:
    name, path = loras[number]
    own = peft.PeftModel.from_pretrained(base(folder), path).eval()(IDS).logits
    assert not torch.allclose(own, base(folder)(IDS).logits, atol=0.1)
    assert torch.allclose(logits(folder, loras, [((name, 1.0),)]), own, atol=1e-4)


@pytest.mark.usefixtures("inference")
@pytest.mark.parametrize("scale", [0.5, 1.5, -0.7])
def test_logits_at_any_scale_are_those_of_merged_weights(
    folder: Path, loras: list[tuple[str, Path]], scale: float
) -> None:
    own = merged(folder, loras[0][1], scale)(IDS).logits
    assert torch.allclose(logits(folder, loras, [(("a", scale),)]), own, atol=1e-4)


@pytest.mark.usefixtures("inference")
def test_rows_of_a_batch_are_what_they_are_alone(folder: Path, loras: list[tuple[str, Path]]) -> None:
    together = logits(folder, loras, MIXED)
    for row, found in zip(MIXED, together, strict=True):
        assert torch.allclose(found, logits(folder, loras, [row])[0], atol=1e-4)


@pytest.mark.usefixtures("inference")
def test_a_model_without_use_for_them_runs_without_hooks(folder: Path, loras: list[tuple[str, Path]]) -> None:
    loaded = load(folder, "float32")
    layer = loaded.model.get_submodule("model.layers.0.self_attn.q_proj")
    adapters = Adapters(loaded.model, {"a": read_adapter(loras[0][1], loaded.model)})
    before = len(layer._forward_hooks)
    for rows, more in [([()], 0), ([(), (("a", 1.0),)], 1), ([(("a", 0.5),)], 1), ([(), ()], 0)]:
        adapters.use(rows)
        assert len(layer._forward_hooks) - before == more


@pytest.mark.usefixtures("inference")
def test_layers_whose_weights_lie_the_other_way_round(tmp_path: Path) -> None:
    torch.manual_seed(2)
    config = transformers.GPT2Config(vocab_size=322, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    targets = {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True}
    path = save_lora(tmp_path / "gpt2", tmp_path / "lora", **targets)
    own = peft.PeftModel.from_pretrained(base(tmp_path / "gpt2"), path).eval()(IDS).logits
    model = base(tmp_path / "gpt2")
    Adapters(model, {"a": read_adapter(path, model)}).use([(("a", 1.0),)])
    assert torch.allclose(model(IDS).logits, own, atol=1e-4)


async def test_greedy_text_is_that_of_peft(folder: Path, loras: list[tuple[str, Path]], adapted: TorchEngine) -> None:
    assert Cap.ADAPTER in adapted.caps
    assert adapted.adapters == ("a", "b")
    chunks = await read(adapted, ask("12 + 30"), replace(GREEDY, adapters=(("a", 1.0),)))
    loaded = load(folder, "float32")
    head = loaded.renderer("here", None).render(ask("12 + 30")).ids
    model = peft.PeftModel.from_pretrained(base(folder), loras[0][1]).eval()
    ids = {"input_ids": torch.tensor([head]), "attention_mask": torch.ones(1, len(head), dtype=torch.long)}
    out = model.generate(**ids, max_new_tokens=16, do_sample=False, bad_words_ids=[[1]], pad_token_id=0)
    assert ids_of(chunks) == tuple(out[0, len(head) :].tolist())
    assert ids_of(chunks) != ids_of(await read(adapted, ask("12 + 30"), GREEDY))


async def test_streams_side_by_side_are_what_they_are_alone(
    folder: Path, loras: list[tuple[str, Path]], adapted: TorchEngine
) -> None:
    """One prompt for all: what one adapter has read of it must not be taken for what another would have."""
    calls = [replace(GREEDY, adapters=adapters) for adapters in MIXED]
    together = [ids_of(chunks) for chunks in await asyncio.gather(*(read(adapted, ask("p" * 40), c) for c in calls))]
    async with TorchEngine(folder, dtype="float32", threads=1, adapters=loras, kept=0) as fresh:
        alone = [ids_of(await read(fresh, ask("p" * 40), call)) for call in calls]
    assert together == alone
    assert len(set(alone)) == 6
    assert alone[0] == alone[5]


async def test_what_was_read_is_shared_between_equal_scales_only(adapted: TorchEngine) -> None:
    async def cached(*adapters: tuple[str, float]) -> int:
        usage = (await read(adapted, ask("q" * 40), replace(GREEDY, max_tokens=1, adapters=adapters)))[-1].usage
        assert usage is not None
        assert usage.prompt is not None
        return (usage.cached or 0) - (usage.prompt - 1)

    assert await cached() < 0
    assert await cached(("a", 0.0)) == 0
    for different in ((("a", 1.0),), (("a", 0.5),), (("b", 1.0),), (("a", 1.0), ("b", 1.0))):
        assert await cached(*different) < 0
        assert await cached(*reversed(different)) == 0


async def test_a_row_that_still_runs_is_shared_between_equal_scales_only(adapted: TorchEngine) -> None:
    prompt = ask("r" * 40)
    async with adapted.stream(prompt, replace(GREEDY, adapters=(("a", 1.0),))) as chunks:
        await anext(chunks)
        usages = [
            (await read(adapted, prompt, replace(GREEDY, max_tokens=1, adapters=adapters)))[-1].usage
            for adapters in ((), (("a", 1.0),))
        ]
    assert [usage is not None and usage.cached for usage in usages] == [0, (usages[1].prompt or 0) - 1]  # type: ignore[union-attr]


async def test_a_run_hands_them_over(adapted: TorchEngine) -> None:
    run = Run(adapted, sampling=GREEDY)
    plain = await run.generate(ask("12"))
    other = await run.generate(ask("12"), adapters=(("a", 1.0),))
    assert plain.token_ids != other.token_ids
    assert run.trace.tokens == adapted.generated


@pytest.mark.parametrize(
    ("adapters", "said"),
    [
        ((("c", 1.0),), "one of a, b"),
        ((("a", math.nan),), "a finite number"),
        ((("a", 0.5), ("a", 0.5)), "give each its scale once"),
    ],
)
async def test_what_cannot_be_applied_is_said(
    adapted: TorchEngine, adapters: tuple[tuple[str, float], ...], said: str
) -> None:
    with pytest.raises(OptionError, match=said):
        await read(adapted, ask("x"), replace(GREEDY, adapters=adapters))
    assert adapted.generated == 0


async def test_names_must_differ_and_a_bad_folder_ends_the_opening(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="names that differ"):
        TorchEngine(folder, adapters=[("a", tmp_path), ("a", tmp_path)])
    with pytest.raises(DataError, match=r"holds no adapter_config\.json"):
        async with TorchEngine(folder, dtype="float32", threads=1, adapters=[("a", tmp_path)]):
            pass


async def test_an_engine_without_adapters_offers_none(engine: TorchEngine) -> None:
    assert Cap.ADAPTER not in engine.caps
    chunks: list[Chunk] = await read(engine, ask("x"), replace(GREEDY, max_tokens=1))
    assert chunks[-1].finish == "length"


@pytest.mark.usefixtures("inference")
def test_inputs_that_come_as_one_flat_list_still_belong_to_their_rows() -> None:
    """As some models call their layers."""
    layer = torch.nn.Linear(3, 2, bias=False)
    box = torch.nn.ModuleDict({"layer": layer})
    low, high = torch.randn(1, 3), torch.randn(2, 1)
    adapters = Adapters(box, {"a": Lora(2.0, {"layer": (low, high)})})
    x = torch.randn(4, 3)
    plain = layer(x)
    adapters.use([(), (("a", 1.0),)])
    found = layer(x)
    assert torch.equal(found[:2], plain[:2])
    assert torch.allclose(found[2:], plain[2:] + 2 * x[2:] @ low.T @ high.T, atol=1e-6)


async def test_in_half_precision_they_work_too(folder: Path, loras: list[tuple[str, Path]]) -> None:
    """The matrices are in the model's type; what a scale gives is nearly what it gives in float32."""
    call = Sampling(max_tokens=0, force=(77, 130, 300), logprobs=1, hidden=(-1,), adapters=(("a", 0.3), ("b", 0.5)))
    found = []
    for dtype in ("float32", "bfloat16"):
        async with TorchEngine(folder, dtype=dtype, threads=1, adapters=loras) as engine:
            chunks = await read(engine, ask("x"), call)
        assert {chunk.hidden.format for chunk in chunks if chunk.hidden} == {"f"}
        found.append([row for chunk in chunks if chunk.hidden for row in chunk.hidden.tolist()])
    wide, narrow = torch.tensor(found)
    assert torch.nn.functional.cosine_similarity(wide, narrow, dim=-1).min() > 0.99

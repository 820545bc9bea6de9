from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from support.llama_folder import LAYERS, SHAPES, WIDTH, edit_json, write_llama, write_lora

from ponder.core.errors import DataError, OptionError
from ponder.train.merge import Merged, linear, merge, slerp, slerp_shares, truncate
from ponder.weights.lora import Pair, read_lora
from ponder.weights.tensors import Array, open_weights, save_tensors

Q0 = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "first", seed=1)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "second", seed=2)


def values(folder: Path) -> dict[str, Array]:
    return {name: tensor.read() for name, tensor in open_weights(folder).items()}


def deltas(folder: Path) -> dict[str, Array]:
    """What an adapter adds, by module, in float64 so that the sum itself is no source of error."""
    return {
        module: (pair.scale * pair.b.astype(np.float64) @ pair.a.astype(np.float64)).astype(np.float32)
        for module, pair in read_lora(folder).pairs.items()
    }


def near(a: Array, b: Array) -> bool:
    return bool(np.abs(a - b).max() < 2e-6 * max(1.0, float(np.abs(b).max())))


# Arithmetic


def test_orthogonal_unit_vectors_meet_half_way_on_the_arc() -> None:
    one, two = np.eye(2, dtype=np.float32)
    assert slerp(one, two, 0.5) == pytest.approx([0.7071, 0.7071], abs=1e-4)
    assert linear(one, two, 0.5) == pytest.approx([0.5, 0.5])
    assert slerp(one, two, 1 / 3) == pytest.approx([math.cos(math.pi / 6), math.sin(math.pi / 6)])
    assert slerp(one, two, 1.5) == pytest.approx([-0.7071, 0.7071], abs=1e-4)


@pytest.mark.parametrize("weight", [-0.5, 0.0, 0.3, 1.0, 1.7])
def test_an_arc_between_unit_vectors_stays_on_the_sphere(weight: float) -> None:
    one, two = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)
    one, two = one / np.linalg.norm(one), two / np.linalg.norm(two)
    assert np.linalg.norm(slerp(one, two, weight)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("one", "two"),
    [([1.0, 2.0], [1.0, 2.0]), ([1.0, 2.0], [3.0, 6.0]), ([1.0, 2.0], [-1.0, -2.0]), ([0.0, 0.0], [1.0, 2.0])],
    ids=["equal", "parallel", "opposite", "zero"],
)
def test_where_there_is_no_arc_slerp_takes_the_line(one: list[float], two: list[float]) -> None:
    a, b = np.array(one, np.float32), np.array(two, np.float32)
    assert slerp_shares(float(a @ a), float(a @ b), float(b @ b), 0.3) is None
    assert np.array_equal(slerp(a, b, 0.3), linear(a, b, 0.3))


def test_arc_and_line_join_where_the_one_gives_way_to_the_other() -> None:
    cosine = 0.9994
    a, b = np.array([1, 0], np.float32), np.array([cosine, math.sqrt(1 - cosine**2)], np.float32)
    assert slerp_shares(1, cosine, 1, 0.5) is not None
    assert slerp(a, b, 0.5) == pytest.approx(linear(a, b, 0.5), abs=2e-4)


# Whole models


@pytest.mark.parametrize("method", ["linear", "slerp"])
@pytest.mark.parametrize("weight", [0, 1])
def test_both_ends_are_the_models_themselves(
    first: Path, second: Path, tmp_path: Path, weight: int, method: str
) -> None:
    merge(first, second, tmp_path / "out", weight, method=method)  # type: ignore[arg-type]
    wanted = (first, second)[weight] / "model.safetensors"
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == wanted.read_bytes()


@pytest.mark.parametrize("weight", [-0.5, 0.25, 0.5, 1.5])
def test_a_line_between_two_models_and_beyond(first: Path, second: Path, tmp_path: Path, weight: float) -> None:
    seen: list[tuple[int, int]] = []
    merged = merge(first, second, tmp_path / "out", weight, progress=lambda *done: seen.append(done))
    a, b, out = values(first), values(second), values(tmp_path / "out")
    assert out.keys() == a.keys()
    assert all(near(out[name], a[name] * (1 - weight) + b[name] * weight) for name in a)
    assert merged == Merged("model", "linear", weight, len(a))
    assert seen == [(done, len(a)) for done in range(1, len(a) + 1)]


def test_an_arc_is_taken_for_each_tensor_by_itself(first: Path, second: Path, tmp_path: Path) -> None:
    merge(first, second, tmp_path / "out", 0.4, method="slerp")
    a, b, out = values(first), values(second), values(tmp_path / "out")
    assert all(np.array_equal(out[name], slerp(a[name], b[name], 0.4)) for name in a)
    assert not near(out[f"{Q0}.weight"], linear(a[f"{Q0}.weight"], b[f"{Q0}.weight"], 0.4))


def test_what_is_no_weight_comes_from_the_first(first: Path, second: Path, tmp_path: Path) -> None:
    edit_json(second / "config.json", rms_norm_eps=1e-3)
    (second / "chat_template.jinja").write_text("other", "utf-8")
    (first / "trainer_state.json").write_text("{}", "utf-8")
    (first / "README.md").write_text("about the first", "utf-8")
    (first / "optimizer.bin").write_bytes(b"state")
    merge(first, second, tmp_path / "out", 0.5)
    kept = ["chat_template.jinja", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == sorted([*kept, "model.safetensors"])
    assert all((tmp_path / "out" / name).read_bytes() == (first / name).read_bytes() for name in kept)


def shard(folder: Path) -> None:
    """Cut a model into two files, in an order of its own."""
    tensors = sorted(values(folder).items(), reverse=True)
    parts = {"model-00001-of-00002.safetensors": tensors[:7], "model-00002-of-00002.safetensors": tensors[7:]}
    for name, part in parts.items():
        save_tensors(folder / name, dict(part))
    (folder / "model.safetensors").unlink()
    weight_map = {name: file for file, part in parts.items() for name, _ in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@pytest.mark.parametrize("which", ["first", "second", "both"])
def test_models_in_several_files_merge_alike(first: Path, second: Path, tmp_path: Path, which: str) -> None:
    merge(first, second, tmp_path / "whole", 0.3)
    for name, folder in (("first", first), ("second", second)):
        if which in (name, "both"):
            shard(folder)
    merge(first, second, tmp_path / "out", 0.3)
    whole, out = values(tmp_path / "whole"), values(tmp_path / "out")
    assert out.keys() == whole.keys()
    assert all(np.array_equal(out[name], whole[name]) for name in out)
    assert sorted(p.name for p in (tmp_path / "out").glob("model*")) == sorted(p.name for p in first.glob("model*"))


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_the_result_has_the_type_of_the_first(first: Path, second: Path, tmp_path: Path, dtype: str) -> None:
    """Computed in float32 and rounded once, as torch would round it."""
    a, b = values(first), values(second)
    narrow = {name: half(value, dtype) for name, value in a.items()}
    save_halves(first / "model.safetensors", narrow, dtype)
    merge(first, second, tmp_path / "out", 0.7)
    stored = open_weights(tmp_path / "out")
    assert {tensor.dtype for tensor in stored.values()} == {dtype}
    for name, tensor in stored.items():
        assert np.array_equal(
            tensor.raw(), half(linear(widened(narrow[name], dtype), b[name], 0.7), dtype).view(np.uint8).ravel()
        )
    merge(first, second, tmp_path / "end", 1)
    assert all(
        np.array_equal(tensor.raw(), half(b[name], dtype).view(np.uint8).ravel())
        for name, tensor in open_weights(tmp_path / "end").items()
    )


def half(value: Array, dtype: str) -> np.ndarray:  # type: ignore[type-arg]
    """Round to nearest even by exact arithmetic on the neighbours."""
    if dtype == "F16":
        return value.astype("<f2")
    low = (value.view("<u4") >> 16 << 16).view("<f4")
    high = ((value.view("<u4") >> 16) + 1 << 16).view("<f4")
    below, above = np.abs(value - low), np.abs(high - value)
    even = (low.view("<u4") >> 16) % 2 == 0
    return (np.where((below < above) | ((below == above) & even), low, high).view("<u4") >> 16).astype("<u2")


def widened(stored: np.ndarray, dtype: str) -> Array:  # type: ignore[type-arg]
    return stored.astype(np.float32) if dtype == "F16" else (stored.astype("<u4") << 16).view("<f4")


def save_halves(file: Path, tensors: dict[str, np.ndarray], dtype: str) -> None:  # type: ignore[type-arg]
    header, data = {}, b""
    for name, value in tensors.items():
        header[name] = {"dtype": dtype, "shape": value.shape, "data_offsets": [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)


# Adapters


@pytest.mark.parametrize("weight", [-0.5, 0.25, 1.5])
@pytest.mark.parametrize("ranks", [(4, 8), (4, 4), (1, 3)])
def test_merged_adapters_add_what_both_add(tmp_path: Path, weight: float, ranks: tuple[int, int]) -> None:
    """Exactly, whatever their ranks and scales: the sums of the factors would leave cross terms."""
    one = write_lora(tmp_path / "one", rank=ranks[0], alpha=8, seed=1)
    two = write_lora(tmp_path / "two", rank=ranks[1], alpha=16, seed=2, use_rslora=True)
    merged = merge(one, two, tmp_path / "out", weight)
    a, b, out = deltas(one), deltas(two), deltas(tmp_path / "out")
    assert out.keys() == a.keys()
    assert all(near(out[name], (1 - weight) * a[name] + weight * b[name]) for name in a)
    assert merged == Merged("adapter", "linear", weight, len(a), sum(ranks))
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (sum(ranks), sum(ranks), False)


@pytest.mark.parametrize("weight", [0, 1])
def test_both_ends_are_the_adapters_themselves(tmp_path: Path, weight: int) -> None:
    ends = [write_lora(tmp_path / name, rank=rank, seed=rank) for name, rank in (("one", 4), ("two", 8))]
    merged = merge(*ends, tmp_path / "out", weight)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (ends[weight] / name).read_bytes()
    assert (merged.rank, merged.error) == ((4, 8)[weight], 0)


def test_a_module_that_one_adapter_lacks_counts_as_zero(tmp_path: Path) -> None:
    one = write_lora(tmp_path / "one", modules=("self_attn.q_proj", "self_attn.v_proj"), rank=4, seed=1)
    two = write_lora(tmp_path / "two", modules=("self_attn.v_proj", "mlp.up_proj"), rank=2, seed=2, layers=1)
    merge(one, two, tmp_path / "out", 0.25, method="slerp")
    a, b, out = deltas(one), deltas(two), deltas(tmp_path / "out")
    assert out.keys() == a.keys() | b.keys()
    assert near(out[Q0], 0.75 * a[Q0])
    assert near(out["model.layers.1.self_attn.v_proj"], 0.75 * a["model.layers.1.self_attn.v_proj"])
    assert near(out["model.layers.0.mlp.up_proj"], 0.25 * b["model.layers.0.mlp.up_proj"])
    assert near(
        out["model.layers.0.self_attn.v_proj"], slerp(*(d["model.layers.0.self_attn.v_proj"] for d in (a, b)), 0.25)
    )
    assert {pair.rank for pair in read_lora(tmp_path / "out").pairs.values()} == {6}


def test_an_arc_between_adapters_is_the_arc_between_what_they_add(tmp_path: Path) -> None:
    one, two = write_lora(tmp_path / "one", seed=1), write_lora(tmp_path / "two", rank=6, seed=2)
    merge(one, two, tmp_path / "out", 0.4, method="slerp")
    a, b, out = deltas(one), deltas(two), deltas(tmp_path / "out")
    assert all(near(out[name], slerp(a[name], b[name], 0.4)) for name in a)


@pytest.mark.parametrize("method", ["linear", "slerp"])
def test_a_smaller_rank_is_the_nearest_and_tells_its_error(tmp_path: Path, method: str) -> None:
    one, two = write_lora(tmp_path / "one", seed=1), write_lora(tmp_path / "two", seed=2)
    merge(one, two, tmp_path / "exact", 0.4, method=method)  # type: ignore[arg-type]
    merged = merge(one, two, tmp_path / "out", 0.4, method=method, rank=3)  # type: ignore[arg-type]
    exact, out = deltas(tmp_path / "exact"), deltas(tmp_path / "out")
    cut = {name: np.linalg.svd(value.astype(np.float64))[1] for name, value in exact.items()}
    lost, whole = (sum(float((s[start:] ** 2).sum()) for s in cut.values()) for start in (3, 0))
    off = sum(float(((out[name] - exact[name]).astype(np.float64) ** 2).sum()) for name in exact)
    assert merged.rank == 3
    assert merged.error == pytest.approx(math.sqrt(lost / whole), rel=1e-5)
    assert merged.error == pytest.approx(math.sqrt(off / whole), rel=1e-4)
    assert 0.1 < merged.error < 1


def test_a_rank_that_is_enough_loses_nothing(tmp_path: Path) -> None:
    one, two = write_lora(tmp_path / "one", rank=2, seed=1), write_lora(tmp_path / "two", rank=3, seed=2)
    assert merge(one, two, tmp_path / "out", 0.5, rank=9) == Merged("adapter", "linear", 0.5, LAYERS * len(SHAPES), 5)


def test_truncation_of_a_pair() -> None:
    pair = Pair(np.eye(2, 4, dtype=np.float32), np.array([[3, 0], [0, 1], [0, 0]], np.float32), 2.0)
    small, lost, whole = truncate(pair, 1)
    assert (lost, whole) == (pytest.approx(4), pytest.approx(40))
    assert small.delta() == pytest.approx(np.outer([6, 0, 0], [1, 0, 0, 0]), abs=1e-6)
    assert truncate(pair, 2)[0] is pair


# A base and its adapter


@pytest.mark.parametrize(("weight", "scaling"), [(0.5, 1.0), (1.5, 3.0), (-1, -2.0)])
def test_an_adapter_is_built_in_at_a_weight(first: Path, tmp_path: Path, weight: float, scaling: float) -> None:
    """Rank 32, alpha 64: a scaling of 2, so 1.0 at weight 0.5 and 3.0 at 1.5 (CoT-Valve's own numbers)."""
    adapter = write_lora(tmp_path / "lora", rank=32, alpha=64, modules=("self_attn.q_proj",), layers=1)
    merge(first, adapter, tmp_path / "out", weight)
    base, out, pair = values(first), values(tmp_path / "out"), read_lora(adapter).pairs[Q0]
    assert near(out[f"{Q0}.weight"], base[f"{Q0}.weight"] + scaling * (pair.b @ pair.a))
    assert all(np.array_equal(out[name], base[name]) for name in base if name != f"{Q0}.weight")


def test_an_adapter_of_weights_that_lie_the_other_way_round_is_refused(first: Path, tmp_path: Path) -> None:
    """Square weights would fit, and take the change transposed."""
    adapter = write_lora(tmp_path / "lora", modules=("self_attn.q_proj",), fan_in_fan_out=True)
    with pytest.raises(DataError, match="lie the other way round"):
        merge(first, adapter, tmp_path / "out", 0.5)
    assert not (tmp_path / "out").exists()


def test_an_adapter_at_weight_0_leaves_its_base(first: Path, tmp_path: Path) -> None:
    merge(first, write_lora(tmp_path / "lora"), tmp_path / "out", 0)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()


# Bad input: one sentence, and nothing is written


def spoil(folder: Path, name: str) -> None:
    """Make the first value of a tensor NaN."""
    tensor = open_weights(folder)[name]
    with tensor.file.open("r+b") as stream:
        stream.seek(tensor.start)
        stream.write(np.array([np.nan], np.float32).tobytes())


def broken(first: Path, second: Path, what: str) -> None:
    tensors = values(second)
    if what == "keys":
        tensors["extra.weight"] = tensors.pop("lm_head.weight")
    elif what == "shapes":
        tensors["model.norm.weight"] = np.ones(WIDTH + 1, np.float32)
    save_tensors(second / "model.safetensors", tensors)
    if what == "kind":
        edit_json(second / "config.json", model_type="qwen2")
    elif what == "bin":
        (second / "model.safetensors").rename(second / "pytorch_model.bin")
    elif what == "cut":
        file = second / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-1])
    elif what == "out":
        (first.parent / "out").mkdir()
        (first.parent / "out" / "mine").touch()
    elif what == "nan":
        spoil(second, "model.norm.weight")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("keys", "first has weights that .*second has not: lm_head.weight; merge"),
        ("shapes", r"differ in the shapes of model.norm.weight: \(64,\) and \(65,\)"),
        ("nan", "second/model.safetensors: model.norm.weight holds NaN"),
        ("kind", "different models: model_type is llama and qwen2"),
        ("bin", "weights as .bin only.*save_pretrained"),
        ("cut", "second/model.safetensors has .* bytes where its header promises"),
        ("out", "out exists and is not an empty folder"),
    ],
)
def test_models_that_do_not_fit_are_refused(first: Path, second: Path, tmp_path: Path, what: str, message: str) -> None:
    broken(first, second, what)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=message) as error:
        merge(first, second, tmp_path / "out", 0.5)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_act": "gelu"}, "hidden_act is silu and gelu"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, "rope_theta is 5000.0 and 1000000.0"),
        ({"rope_parameters": None, "rope_theta": 1e4}, "rope_theta is 5000.0 and 10000.0"),
        ({"rope_parameters": None, "rope_scaling": {"type": "yarn", "factor": 4.0}}, "rope_type is default and yarn"),
    ],
)
def test_models_that_compute_differently_are_refused(
    first: Path, second: Path, tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    """Their weights have equal shapes, and mean other things."""
    edit_json(second / "config.json", **fields)
    with pytest.raises(DataError, match=f"compute differently: {message}"):
        merge(first, second, tmp_path / "out", 0.5)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rope", [{"rope_parameters": None, "rope_theta": 5000.0}, {"rope_parameters": None}])
def test_a_configuration_of_an_older_version_is_no_other_model(
    first: Path, second: Path, tmp_path: Path, rope: dict[str, object]
) -> None:
    edit_json(second / "config.json", **rope)
    assert merge(first, second, tmp_path / "out", 0.5).kind == "model"


def test_weights_beyond_the_range_of_their_type_are_refused(first: Path, second: Path, tmp_path: Path) -> None:
    save_halves(first / "model.safetensors", {k: half(v, "F16") for k, v in values(first).items()}, "F16")
    with pytest.raises(DataError, match="beyond the range of F16"):
        merge(first, second, tmp_path / "out", 1e6)
    with pytest.raises(DataError, match="beyond the range of F32"):
        merge(second, first, tmp_path / "out", -3e38)
    assert not (tmp_path / "out").exists()


def test_adapters_of_other_bases_are_refused(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write_lora(tmp_path / "good")
    monkeypatch.setitem(SHAPES, "self_attn.q_proj", (80, WIDTH))
    other = write_lora(tmp_path / "other")
    with pytest.raises(DataError, match=rf"{Q0} is \(80, 64\) there, and is \(64, 64\) in .*first"):
        merge(first, other, tmp_path / "out", 0.5)
    with pytest.raises(DataError, match=rf"different bases: {Q0} is \(64, 64\) and \(80, 64\)"):
        merge(good, other, tmp_path / "out", 0.5)
    deep = write_lora(tmp_path / "deep", layers=3, modules=("mlp.up_proj",))
    with pytest.raises(DataError, match=r"layers.2.mlp.up_proj is \(96, 64\) there, and is not there in"):
        merge(first, deep, tmp_path / "out", 0.5)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("order", "options", "message"),
    [
        ("model model", {"weight": math.nan}, "weight = nan"),
        ("model model", {"weight": 0.5, "method": "slrp"}, "did you mean 'slerp'"),
        ("model model", {"weight": 0.5, "rank": 4}, "rank is for merging two adapters"),
        ("lora lora", {"weight": 0.5, "rank": 0}, "at least 1"),
        ("lora model", {"weight": 0.5}, "name the base first"),
        ("model lora", {"weight": 0.5, "method": "slerp"}, "added to its base linearly"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    first: Path, tmp_path: Path, order: str, options: dict[str, float], message: str
) -> None:
    folders = {"model": first, "lora": write_lora(tmp_path / "lora")}
    with pytest.raises(OptionError, match=message):
        merge(*(folders[name] for name in order.split()), tmp_path / "out", **options)  # type: ignore[arg-type, misc]
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing(first: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ponder.train import merge as module

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfile", full)
    with pytest.raises(DataError, match=r"out could not be written \(No space left on device\).*free space"):
        merge(first, second, tmp_path / "out", 0.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


# Against PEFT itself

peft = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")]


@pytest.mark.parametrize("weight", [pytest.param(weight, marks=peft) for weight in (-0.5, 0.0, 0.5, 1.0, 1.5)])
def test_built_in_equals_unmerged_at_that_scale(first: Path, tmp_path: Path, weight: float) -> None:
    torch = pytest.importorskip("torch")
    from peft import PeftModel
    from peft.helpers import rescale_adapter_scale
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    adapter = write_lora(tmp_path / "lora", rank=32, alpha=64, scale=0.05)
    merge(first, adapter, tmp_path / "out", weight)
    ids = torch.arange(24)[None]
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out")(ids).logits
        base = AutoModelForCausalLM.from_pretrained(first)
        plain = base(ids).logits
        with rescale_adapter_scale(PeftModel.from_pretrained(base, adapter), weight):
            unmerged = base(ids).logits
    assert torch.allclose(merged, unmerged, atol=2e-3, rtol=1e-3)
    assert torch.equal(merged, plain) == (weight == 0)


@pytest.mark.parametrize("rank", [pytest.param(rank, marks=peft) for rank in (None, 5)])
def test_peft_loads_a_merged_adapter(first: Path, tmp_path: Path, rank: int | None) -> None:
    torch = pytest.importorskip("torch")
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    one = write_lora(tmp_path / "one", modules=("self_attn.q_proj", "mlp.up_proj"), seed=1)
    two = write_lora(tmp_path / "two", modules=("mlp.up_proj",), layers=1, rank=2, seed=2)
    merge(one, two, tmp_path / "out", 0.3, rank=rank)
    model = AutoModelForCausalLM.from_pretrained(first)
    loaded = PeftModel.from_pretrained(model, tmp_path / "out").merge_and_unload().state_dict()
    base, added = values(first), deltas(tmp_path / "out")
    for name, value in base.items():
        wanted = value + added.get(name.removesuffix(".weight"), np.float32(0))
        assert torch.allclose(loaded[name], torch.from_numpy(wanted), atol=1e-5), name

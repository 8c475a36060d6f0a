"""Names that lead elsewhere or nowhere, archives, and models that have to be fetched."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import socket
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants
from planted import seal
from tiny import TEXT, run, save_tiny

from textdiff.files import verify_folder
from textdiff.infiller import hub

RECIPE = """
context_length: 16
data: {train: text.txt}
tokenizer: {kind: characters, vocab_size: 64}
backbone: {name: dit, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}
"""
LONG = "x" * 256
UNUSABLE = {
    "long": LONG,
    "long part": f"new/{LONG}/more",
    "long path": "/".join(["deep"] * 1000),
    "null byte": "new/a\0b",
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "text.txt").write_text(TEXT)
    (here / "recipe.yaml").write_text(RECIPE)
    (here / "letter.md").write_text("Dear [MASK: 2 tokens]\n")
    save_tiny(here / "model")
    return here


def content(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


TOKENS = "--tokenizer characters"
COMMANDS = [
    ("train recipe.yaml --output NAME", 3),
    ("train recipe.yaml --output run --resume NAME", 3),
    ("train recipe.yaml --output run --set data.train=NAME", 4),
    ("train recipe.yaml --output run --set tokenizer.path=NAME", 4),
    ("train NAME --output run", 3),
    ("finetune -m model --data text.txt --output NAME", 3),
    ("finetune -m model --data NAME --output run", 4),
    ("finetune -m NAME --data text.txt --output run", 5),
    ("infill letter.md -m NAME", 5),
    ("infill NAME -m model", 4),
    ("infill letter.md -m model -o NAME", 4),
    ("infill letter.md text.txt -m model -o NAME", 4),
    ("generate -m NAME", 5),
    ("score NAME -m model", 4),
    ("revise NAME -m model", 4),
    ("evaluate -m NAME --data text.txt", 5),
    ("evaluate -m model --data NAME", 4),
    ("tokenizer train --data text.txt --output NAME", 3),
    ("tokenizer check NAME --data text.txt", 5),
    (f"data prepare --data text.txt {TOKENS} --output NAME", 3),
    (f"data prepare --data NAME {TOKENS} --output out", 4),
    ("data prepare --data text.txt --tokenizer NAME --output out", 5),
    ("data check NAME", 4),
    ("info NAME", 5),
    ("verify NAME", 5),
    ("curves NAME -o picture.png", 4),
]


@pytest.mark.parametrize("how", UNUSABLE)
@pytest.mark.parametrize(("line", "code"), COMMANDS, ids=[line for line, _ in COMMANDS])
def test_s2_a_name_that_no_file_can_have_is_refused_before_anything_is_written(
    desk: Path, line: str, code: int, how: str
) -> None:
    before = content(desk)
    ended = run(*(word.replace("NAME", UNUSABLE[how]) for word in line.split()))
    assert (ended.code == code or how == "null byte") and ended.code in (2, 3, 4, 5), ended.err
    assert ended.err.count("\n") == 1
    assert content(desk) == before


ELSEWHERE = [
    "infill letter.md -m model --trace NAME.html",
    "infill letter.md -m model --spans NAME",
    "infill . -m model --glob NAME -o out",
    "revise text.txt -m model -o NAME",
    "generate A -m NAME",
    "curves run -o NAME.png",
    "info model/NAME",
]


@pytest.mark.parametrize("how", UNUSABLE)
@pytest.mark.parametrize("line", ELSEWHERE)
def test_s2_any_other_place_of_such_a_name_is_no_bug(desk: Path, line: str, how: str) -> None:
    """Where no command looks at a name itself, the system's own refusal is said."""
    before = content(desk)
    ended = run(*(word.replace("NAME", UNUSABLE[how]) for word in line.split()))
    assert ended.code in (2, 3, 4, 5) and "is a bug" not in ended.err, ended.err
    assert content(desk) == before


@pytest.mark.parametrize("name", ["../model", "a/../../etc/passwd", "../../owner/model", "owner/..", "a\\..\\b"])
@pytest.mark.parametrize("command", ["infill letter.md", "evaluate --data text.txt", "info", "verify"])
def test_s2_a_name_that_leads_elsewhere_is_no_model_of_the_hub(
    desk: Path, name: str, command: str, touched: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it become a folder in the cache of models. A folder that is there may be named like that."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(desk / "cache"))
    before = content(desk.parent)
    ended = run(*command.split(), *([] if command in ("info", "verify") else ["-m"]), name)
    assert (ended.code, ended.err.count("\n")) == (5, 1) and repr(name)[1:-1] in ended.err
    assert (content(desk.parent), touched) == (before, [])


def test_s2_a_recipe_may_not_name_what_it_cannot(desk: Path) -> None:
    """In YAML a name may hold anything."""
    (desk / "recipe.yaml").write_text(RECIPE.replace("text.txt", '"a\\0b"'))
    ended = run("train", "recipe.yaml", "--output", "run")
    assert ended.code == 4 and "there is a null byte in its name" in ended.err
    assert not (desk / "run").exists()


def slips(kind: str) -> bytes:
    """An archive whose files would land outside of any folder that it is unpacked to."""
    memory, names = io.BytesIO(), ("config.json", "../slipped", "/tmp/slipped", "deep/../../slipped")
    if kind == "zip":
        with zipfile.ZipFile(memory, "w") as archive:
            for name in names:
                archive.writestr(name, "{}")
        return memory.getvalue()
    with tarfile.open(fileobj=memory, mode=f"w:{kind.partition('.')[2]}") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    return memory.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("infill letter.md -m ARCHIVE", 5),
        ("verify ARCHIVE", 5),
        ("tokenizer check ARCHIVE --data text.txt", 5),
        ("train ARCHIVE --output run", 3),
        ("train recipe.yaml --output run --set data.train=ARCHIVE", 4),
        ("train recipe.yaml --output run --set tokenizer.path=ARCHIVE", 5),
        ("finetune -m model --data ARCHIVE --output run", 4),
        ("evaluate -m model --data ARCHIVE", 4),
        (f"data prepare --data ARCHIVE {TOKENS} --output out", 4),
        ("data check ARCHIVE", 4),
        ("infill ARCHIVE -m model", 4),
    ],
)
def test_s2_no_archive_is_accepted_anywhere(desk: Path, kind: str, line: str, code: int) -> None:
    (desk / f"it.{kind}").write_bytes(slips(kind))
    before = content(desk.parent)
    ended = run(*line.replace("ARCHIVE", f"it.{kind}").split())
    assert (ended.code, ended.err.count("\n")) == (code, 1), ended.err
    assert content(desk.parent) == before


def test_s2_an_archive_is_no_part_of_a_checkpoint(desk: Path) -> None:
    for number, kind in enumerate(("zip", "tar", "tar.gz")):
        folder = save_tiny(desk / str(number))
        (folder / "model.safetensors").write_bytes(slips(kind))
        seal(folder)
        assert run("infill", "letter.md", "-m", folder).code == 5


def test_s2_the_name_in_a_gzip_header_is_nobodys(desk: Path) -> None:
    """The one kind of packed file that is read holds one text and no files; it need not be unpacked anywhere."""
    with (desk / "letters.gz").open("wb") as raw, gzip.GzipFile("../slipped", "wb", fileobj=raw) as file:
        file.write(TEXT.encode())
    assert b"slipped" in (desk / "letters.gz").read_bytes()
    before = content(desk.parent)
    assert run("data", "check", "letters.gz").code == 0
    assert run("data", "prepare", "--data", "letters.gz", *TOKENS.split(), "--output", "out").code == 0
    made = {name for name in content(desk.parent) - before if not name.startswith("here/out")}
    assert made == set()


@pytest.mark.parametrize("kind", ["zip", "pickle"])
def test_s2_tokens_in_an_archive_are_not_read(desk: Path, kind: str) -> None:
    """numpy reads both under the name of a plain array."""
    assert run("data", "prepare", "--data", "text.txt", *TOKENS.split(), "--output", "out").code == 0
    (tokens,) = (desk / "out").glob("*.npy")
    tokens.write_bytes(slips("zip") if kind == "zip" else pickle.dumps([1, 2, 3]))
    seal(desk / "out")
    ended = run("train", "recipe.yaml", "--output", "run", "--set", "data.train=out", "tokenizer={}")
    assert ended.code in (4, 5) and "is a bug" not in ended.err, ended.err
    assert not (desk / "run").exists()


ABSENT = "somebody/no-such-model"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def said_of(*words: str) -> str:
    ended = run(*(words or ("infill", "-", "-m", ABSENT)), stdin=b"[MASK]")
    assert (ended.code, ended.out, ended.err.count("\n")) == (5, b"", 1)
    return ended.err


def test_r1_offline_it_says_what_to_download_and_where(cache: Path, touched: list[object]) -> None:
    said = said_of()
    assert "neither a folder here nor in the cache of models, and the environment says to keep off the hub" in said
    assert f"Run `hf download {ABSENT}` where there is a network, and copy the folder " in said
    assert f"models--somebody--no-such-model from the cache there to {cache} here" in said
    assert touched == []


@pytest.mark.parametrize(
    "words",
    [
        "verify NAME",
        "info NAME",
        "generate A -m NAME",
        "evaluate --data text.txt -m NAME",
        "score text.txt -m NAME",
        "revise text.txt -m NAME",
        "finetune --data text.txt --output run -m NAME",
        "tokenizer check NAME --data text.txt",
        "data prepare --data text.txt --output out --tokenizer NAME",
    ],
)
def test_r1_every_command_says_it(
    words: str, cache: Path, touched: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    assert f"hf download {ABSENT}" in said_of(*words.replace("NAME", ABSENT).split())
    assert touched == [] and [*tmp_path.iterdir()] == [tmp_path / "text.txt"]


def test_r1_without_a_network_it_says_so_at_once(
    cache: Path, touched: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    began = time.monotonic()
    said = said_of()
    assert time.monotonic() - began < 2
    assert f"and {constants.ENDPOINT} does not answer. Run `hf download {ABSENT}`" in said
    assert touched != []  # what other tests trap would be seen


def keep(cache: Path) -> Path:
    """A model in the cache, as the library leaves it: the files of a snapshot are links. Returns the snapshot."""
    model = cache / "models--somebody--no-such-model"
    snapshot = model / "snapshots" / ("a" * 40)
    save_tiny(model / "blobs")
    snapshot.mkdir(parents=True)
    for file in (model / "blobs").iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("a" * 40)
    return snapshot


@pytest.mark.parametrize("words", ["infill letter.md -m NAME", "verify NAME", "info NAME", "doctor --offline -m NAME"])
def test_r1_what_is_in_the_cache_is_used_offline(
    desk: Path, words: str, cache: Path, touched: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(cache)
    ended = run(*words.replace("NAME", ABSENT).split())
    assert (ended.code, touched) == (0, []), ended.err


INDEX = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}


HALVES = ["config.json", "model.safetensors", "tokenizer.json", "shard", "all"]


@pytest.mark.parametrize(
    ("words", "absent"),
    [*(("infill letter.md -m NAME", absent) for absent in HALVES), ("info NAME", "all"), ("doctor -m NAME", "shard")],
)
def test_r1_a_model_that_was_fetched_by_half_is_said_to_be(
    desk: Path, words: str, cache: Path, touched: list[object], absent: str
) -> None:
    """The links of a snapshot are made before or after what they lead to; a shard may not have been begun."""
    snapshot = keep(cache)
    if absent == "shard":
        absent = "model-00001-of-00002.safetensors"
        (snapshot / "model.safetensors.index.json").write_text(json.dumps(INDEX))
    elif absent == "all":
        absent = "config.json"
        for path in snapshot.iterdir():
            path.unlink()
    else:
        (snapshot / absent).resolve().unlink()
    ended = run(*words.replace("NAME", ABSENT).split())
    said = (
        f"{ABSENT!r} is only half in the cache of models: {snapshot} lacks {absent}. Run `hf download {ABSENT}` where"
    )
    if words.startswith("doctor"):
        assert ended.code == 8 and said in " ".join(ended.text.split())
    else:
        assert (ended.code, ended.err.count("\n"), touched) == (5, 1, [])
        assert ended.err.startswith(f"textdiff: error: {said}")


def test_c7_links_of_the_cache_stay_in_the_part_of_their_model(cache: Path, tmp_path: Path) -> None:
    """Nor may a folder elsewhere have such links."""
    snapshot = keep(cache)
    shutil.copytree(snapshot, tmp_path / "copy", symlinks=True)
    shutil.copy(snapshot / "config.json", cache / "config.json")
    assert verify_folder(snapshot) == []
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(cache / "config.json")
    assert verify_folder(snapshot) == ["config.json: a link that leaves the folder"]
    elsewhere = tmp_path / "mine" / "snapshots" / "a"
    shutil.copytree(tmp_path / "copy", elsewhere, symlinks=True)
    (tmp_path / "mine" / "blobs").symlink_to(cache / "models--somebody--no-such-model" / "blobs")
    assert "a link that leaves the folder" in verify_folder(elsewhere)[0]


@pytest.mark.parametrize("cached", [False, True])
def test_r1_an_address_that_takes_connections_and_says_nothing_costs_less_than_two_seconds(
    cached: bool, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a firewall, with the library's own client and the patience that users have."""
    if cached:
        keep(cache)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        began = time.monotonic()
        ended = run("infill", "-", "-m", ABSENT, stdin=b"a [MASK: 1 token]")
        assert time.monotonic() - began < 2
        server.settimeout(1)
        server.accept()[0].close()  # it had been asked
    assert ended.code == (0 if cached else 5)
    assert cached or f"{constants.ENDPOINT} does not answer. Run `hf download {ABSENT}`" in ended.err


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A hub that takes connections and says nothing, for as long as the test runs."""
    ended = threading.Event()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_PATIENCE", 0.05)
    listening = SimpleNamespace(head=lambda *words, **options: ended.wait(60) or 1 / 0)
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: listening)
    yield ended
    ended.set()


def test_r1_a_hub_that_says_nothing_is_not_waited_for(
    cache: Path, silence: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def fetch(name: str, local_files_only: bool, **options: object) -> str:
        asked.append(local_files_only)
        raise FileNotFoundError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert "does not answer" in said_of()
    assert (asked, silence.is_set()) == ([True], False)


def test_r1_what_is_in_the_cache_needs_no_hub(
    cache: Path, silence: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = save_tiny(tmp_path / "kept")

    def fetch(name: str, local_files_only: bool, **options: object) -> str:
        assert local_files_only
        return str(kept)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert run("infill", "-", "-m", ABSENT, stdin=b"a [MASK: 1 token]").code == 0


def test_r1_a_name_that_the_hub_does_not_know_is_another_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "answers", lambda: True)

    def fetch(*words: object, **options: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert "Check the name, or give a folder" in said_of()
    monkeypatch.undo()
    assert "nor a name that a model of the hub can have" in said_of("infill", "-", "-m", "owner/two words")

"""GPT-2's files give GPT-2's ids. With TINYLM_DATA set, $TINYLM_DATA/tokenizer holds the published
pair.
"""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import DataError
from tinylm.tokenizers import BPETokenizer, CharTokenizer, load_gpt2, save_gpt2

FOLDER = Path(os.environ.get("TINYLM_DATA", ""), "tokenizer")
PUBLISHED = [FOLDER / "gpt2_encoder.json", FOLDER / "gpt2_vocab.bpe"]
needs_published = pytest.mark.skipif(
    not ("TINYLM_DATA" in os.environ and all(p.is_file() for p in PUBLISHED)),
    reason="TINYLM_DATA does not name a folder with GPT-2's vocabulary",
)
AWKWARD = st.text(st.sampled_from(" \n\t'sldevrtmALLthe1²٣é中́\x85\x1c\u2028\xa0-.🙂"), max_size=40)
TEXT = st.lists(st.one_of(st.text(), AWKWARD, st.just("<|endoftext|>")), max_size=3).map("".join)
TEXTS = ["the cat and the hat's 12 ########", "là-haut, déjà là ... ...", "中文中文 🙂🙂🙂"]


@pytest.fixture(scope="module")
def published():
    return load_gpt2(*PUBLISHED)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small tokenizer, and the folder where it lies in the published format under its later
    names.
    """
    folder = tmp_path_factory.mktemp("small")
    tokenizer = BPETokenizer.train(TEXTS, 320)
    save_gpt2(tokenizer, folder / "vocab.json", folder / "merges.txt")
    return tokenizer, folder


@needs_published
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hello world", [15496, 995]),
        ("Hello, world!", [15496, 11, 995, 0]),
        (
            "The quick brown fox jumps over the lazy dog",
            [464, 2068, 7586, 21831, 18045, 625, 262, 16931, 3290],
        ),
        ("\n", [198]),
        ("\n\n", [628]),
        (" ", [220]),
        ("<|endoftext|>", [27, 91, 437, 1659, 5239, 91, 29]),
    ],
)
def test_known_ids_of_gpt2(published, text, ids):
    assert published.encode(text).tolist() == ids
    assert published.decode(ids) == text


@needs_published
def test_gpt2_has_its_tokens(published):
    assert published.vocab_size == 50257 and len(published.merges) == 50000
    assert published.special == {"<|endoftext|>": 50256}
    assert published.encode("a<|endoftext|>", allow_special=True).tolist() == [64, 50256]


@needs_published
def test_the_published_files_are_written_again_letter_for_letter(published, tmp_path):
    save_gpt2(published, tmp_path / "encoder.json", tmp_path / "vocab.bpe")
    assert json.loads((tmp_path / "encoder.json").read_text()) == json.loads(
        PUBLISHED[0].read_text()
    )
    assert (tmp_path / "vocab.bpe").read_bytes() == PUBLISHED[1].read_bytes()


def in_tiktoken(tokenizer):
    tiktoken = pytest.importorskip("tiktoken")
    ordinary = set(range(tokenizer.vocab_size)) - set(tokenizer.special.values())
    # tiktoken ranks a merge by the id of what it makes, which holds for GPT-2's ids and for those
    # of `train`.
    return tiktoken.Encoding(
        "local",
        pat_str=tokenizer.pattern.split.pattern,
        special_tokens=tokenizer.special,
        mergeable_ranks={tokenizer.token_bytes(i): i for i in sorted(ordinary)},
    )


def in_transformers(tokenizer, folder):
    transformers = pytest.importorskip("transformers")
    if not (folder / "vocab.json").exists():
        save_gpt2(tokenizer, folder / "vocab.json", folder / "merges.txt")
    return transformers.GPT2TokenizerFast.from_pretrained(str(folder))


@given(text=TEXT)
def test_tiktoken_gives_the_same_ids(small, text):
    tokenizer, _ = small
    other = in_tiktoken(tokenizer)
    assert tokenizer.encode(text).tolist() == other.encode_ordinary(text)
    assert tokenizer.encode(text, allow_special=True).tolist() == other.encode(
        text, allowed_special="all"
    )


def test_transformers_gives_the_same_ids(small):
    tokenizer, folder = small
    other = in_transformers(tokenizer, folder)

    @given(TEXT)
    def same(text):
        # transformers turns the name of a special token into the token wherever it stands in the
        # text.
        assert tokenizer.encode(text, allow_special=True).tolist() == other.encode(
            text, add_special_tokens=False
        )

    same()


@needs_published
@pytest.mark.parametrize("library", ["tiktoken", "transformers"])
def test_libraries_give_the_same_ids_with_gpt2s_vocabulary(published, library, tmp_path):
    text = Path(__file__).read_text(encoding="utf-8") + "".join(TEXTS)
    assert "<|endoftext|>" in text
    if library == "tiktoken":
        ids = in_tiktoken(published).encode(text, allowed_special="all")
    else:
        ids = in_transformers(published, tmp_path).encode(text, add_special_tokens=False)
    assert published.encode(text, allow_special=True).tolist() == ids


def test_saving_and_loading_keep_the_ids(small):
    tokenizer, folder = small
    again = load_gpt2(folder / "vocab.json", folder / "merges.txt")
    assert again.to_dict() == tokenizer.to_dict()
    assert any(
        again.token_bytes(left) == b"#" for left, _ in again.merges
    )  # a merge line that looks like a comment


def test_the_version_line_may_be_absent(small, tmp_path):
    tokenizer, folder = small
    lines = (folder / "merges.txt").read_text().split("\n")
    assert lines[0] == "#version: 0.2"
    (tmp_path / "merges.txt").write_text("\r\n".join(lines[1:]))  # nor need the line ends be Unix's
    assert load_gpt2(folder / "vocab.json", tmp_path / "merges.txt").merges == tokenizer.merges


def test_special_tokens_may_stand_anywhere(small, tmp_path):
    tokenizer, folder = small
    ids = json.loads((folder / "vocab.json").read_text())
    shifted = {"<s>": 0, "<mask>": 1} | {token: i + 2 for token, i in ids.items()}
    (tmp_path / "vocab.json").write_text(json.dumps(shifted))
    again = load_gpt2(tmp_path / "vocab.json", folder / "merges.txt")
    assert again.special == {"<s>": 0, "<mask>": 1, "<|endoftext|>": tokenizer.vocab_size + 1}
    assert again.encode(TEXTS[0]).tolist() == (tokenizer.encode(TEXTS[0]) + 2).tolist()


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("vocab.json", lambda text: text[:-5], "vocab.json is not JSON"),
        ("vocab.json", lambda text: "[1, 2]", "vocab.json does not map tokens to ids"),
        (
            "vocab.json",
            lambda text: text.replace(": 7,", ": 8,"),
            "vocab.json: the ids .* each once",
        ),
        (
            "merges.txt",
            lambda text: text.replace("version: 0.2\n", "version: 0.2\nhalf\n"),
            "merges.txt, line 2: 'half'",
        ),
        ("merges.txt", lambda text: text + "\n\n", "merges.txt, line .*: ''"),
        ("merges.txt", lambda text: text + "zz top\n", "'zz' is in a merge but not in"),
    ],
)
def test_a_damaged_file_is_named(small, tmp_path, file, edit, message):
    for name in ("vocab.json", "merges.txt"):
        text = (small[1] / name).read_text()
        (tmp_path / name).write_text(edit(text) if name == file else text)
    with pytest.raises(DataError, match=message):
        load_gpt2(tmp_path / "vocab.json", tmp_path / "merges.txt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="cannot read the vocabulary file .*vocab.json"):
        load_gpt2(tmp_path / "vocab.json", tmp_path / "merges.txt")


def test_what_the_format_cannot_hold_is_refused(tmp_path):
    paths = tmp_path / "vocab.json", tmp_path / "merges.txt"
    with pytest.raises(DataError, match="pattern is 'whole'"):
        save_gpt2(BPETokenizer.train("text", 300, pattern="whole"), *paths)
    with pytest.raises(DataError, match="special token 'a' is written like an ordinary token"):
        save_gpt2(BPETokenizer.train("text", 300, special=["a"]), *paths)
    with pytest.raises(DataError, match="CharTokenizer"):
        save_gpt2(CharTokenizer("abc"), *paths)
    assert not any(path.exists() for path in paths)

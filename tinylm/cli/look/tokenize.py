"""`tinylm tokenize "text"`: how a tokenizer cuts a text, piece by piece; `--train FILE` learns a
tokenizer.

The tokenizer is the one of a run, a saved file, published weights (a folder, a GGUF file), `bytes`,
or GPT-2's published pair of files (`gpt2:DIR`).
"""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinylm.cli.options import parse
from tinylm.errors import ConfigError
from tinylm.reading import standard_input
from tinylm.settings import at_least, one_of, setting

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer
    from tinylm.tokenizers.byte import ByteTokenizer


GPT2_FILES = (("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt"))


@dataclass
class TokenizeConfig:
    """Settings of `tinylm tokenize`."""

    tokenizer: str = setting(
        "bytes",
        "a run, a saved tokenizer, published weights, bytes, or gpt2:DIR with GPT-2's two files",
    )
    special: bool = setting(False, "read names of special tokens in the text as these tokens")
    train: tuple[str, ...] = setting(
        (),
        "learn a vocabulary from these files, folders and patterns; put TEXT before this option",
        several=True,
    )
    skip_bad: bool = setting(
        False, "with --train: leave out lines that cannot be read, and count them"
    )
    kind: str = setting(
        "bpe", "with --train: bpe, unigram or wordpiece", one_of("bpe", "unigram", "wordpiece")
    )
    vocab_size: int = setting(
        512,
        "with --train: size of the vocabulary, with 256 bytes (not wordpiece) and special tokens",
        at_least(257),
    )
    out: str = setting("tokenizer.json", "with --train: where the tokenizer is saved")


def main(argv: Sequence) -> None:
    """Show the pieces of a text, or learn a tokenizer."""
    config, words = parse(
        argv,
        TokenizeConfig,
        positionals=("[TEXT]",),
        verb="tokenize",
        about=__doc__,
        examples=(
            'tinylm tokenize "Hello, world"',
            "tinylm tokenize --train book.txt --vocab-size 512 --out tokenizer.json",
            'tinylm tokenize "Hello, world" --tokenizer tokenizer.json',
            "cat book.txt | tinylm tokenize -",
        ),
    )
    if config.train:
        # A text beside --train is cut by the vocabulary that was just learnt.
        tokenizer = learn(config)
        print(
            f'{tokenizer.vocab_size} tokens, saved: tinylm tokenize "some text" --tokenizer {config.out}'
        )
    elif not words:
        raise ConfigError(
            'needs a text: tinylm tokenize "Hello, world"; "-" reads it from the standard input'
        )
    else:
        tokenizer = named(config.tokenizer)
    if words:
        # One word of the command line: a text with spaces stands in quotation marks.
        text = words[0]
        if text == "-":
            text = standard_input()
        print("\n".join(pieces(tokenizer, text, config.special)))


def named(name: str) -> "Tokenizer":
    """The tokenizer that `--tokenizer` names.

    name     "bytes", "gpt2:DIR", a file that Tokenizer.save wrote, a run directory, or the file or
             folder of published weights
    raises   CheckpointError or DataError naming the file that is missing or damaged
    """
    from tinylm import tokenizers
    from tinylm.models.published.formats.found import PUBLISHED, find_weights
    from tinylm.models.published.formats.gguf import read_gguf
    from tinylm.models.published.formats.gguf_tokenizer import tokenizer_of

    if name == "bytes":
        return tokenizers.ByteTokenizer()
    if name.startswith("gpt2:"):
        # The two files have other names in OpenAI's release than in Hugging Face's.
        folder = Path(name[5:])
        for encoder, merges in GPT2_FILES:
            if (folder / encoder).is_file():
                return tokenizers.load_gpt2(folder / encoder, folder / merges)
        wanted = " or ".join(" with ".join(pair) for pair in GPT2_FILES)
        raise ConfigError(f"tokenizer: {folder} holds no GPT-2 vocabulary: it takes {wanted}")
    # A .gguf file holds the tokenizer beside the weights, of which nothing is read.
    if name in PUBLISHED or name.endswith(".gguf"):
        path = find_weights(name)
        if path.suffix == ".gguf":
            return tokenizer_of(read_gguf(path))
        return tokenizers.load(path)
    return tokenizers.load(name)


def learn(config: TokenizeConfig) -> "Tokenizer":
    """Learn a vocabulary from the files at config.train and save it at config.out. Returns the
    tokenizer.
    """
    from tinylm.data import stream_documents
    from tinylm.data.read.sources import text_files
    from tinylm.reading import BadLines
    from tinylm.tokenizers import BPETokenizer, UnigramTokenizer, train_wordpiece

    train = {
        "bpe": BPETokenizer.train,
        "unigram": UnigramTokenizer.train,
        "wordpiece": train_wordpiece,
    }[config.kind]
    # Links are followed: the same file may have two names.
    out = os.path.realpath(config.out)
    if out in map(os.path.realpath, text_files(config.train)):
        raise ConfigError(
            f"--out {config.out} is one of the training texts and would be overwritten: "
            "choose another name"
        )
    bad = BadLines(config.skip_bad)
    # Pieces of text, one after another: the corpus may be larger than memory.
    parts = itertools.chain.from_iterable(stream_documents(config.train, bad=bad))
    tokenizer = train(parts, config.vocab_size)
    for line in bad.report():
        print(line)
    tokenizer.save(config.out)
    return tokenizer


def pieces(tokenizer: "ByteTokenizer", text: str, special: bool = False) -> list[str]:
    """The lines that `tinylm tokenize` prints: the text with its cuts, then every token with id and
    byte offset.

    returns  list of str. A piece that is not whole characters shows its bytes as \\xNN
    """
    ids = tokenizer.encode(text, allow_special=special).tolist()
    parts = [tokenizer.token_bytes(i) for i in ids]
    shown = [visible(part) for part in parts]
    # Bytes a token, as languages differ in how many bytes a character has.
    size = len(text.encode())
    rate = ""
    if ids:
        rate = f", {size / len(ids):.2f} bytes a token"
    lines = [
        f"{len(ids)} tokens, {len(text)} characters, {size} bytes{rate}; vocabulary {tokenizer.vocab_size}",
        "",
        "│".join(shown),
        "",
        f"{'id':>8} {'byte':>6}  piece",
    ]
    # Offsets of bytes, not characters: a token may end inside a character.
    at = 0
    for i, part, piece in zip(ids, parts, shown):
        lines.append(f"{i:8} {at:6}  '{piece}'")
        at += len(part)
    return lines


def visible(part: bytes) -> str:
    """Bytes as printable text on one line; what is not printable becomes an escape."""
    text = part.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

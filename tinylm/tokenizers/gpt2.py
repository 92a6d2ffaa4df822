"""GPT-2's vocabulary: read and write the pair of files in which it was published.

`encoder.json` gives each token its id, {"!": 0, ..., "Ġthe": 262, ..., "<|endoftext|>": 50256};
`vocab.bpe` lists the 50,000 merges, first learnt first, one "left right" a line after a version
line. Bytes are written in the alphabet of `printable.py`. RoBERTa, BART and many others publish
theirs as `vocab.json` and `merges.txt`, the same format under other names. Radford et al. 2019.
"""

import json
from pathlib import Path

from tinylm.errors import DataError
from tinylm.files import write_text
from tinylm.reading import numbered_lines, read_text_file, strict_json
from tinylm.tokenizers.bpe import BPETokenizer
from tinylm.tokenizers.printable import from_printable, to_printable


def load_gpt2(encoder: str | Path, merges: str | Path) -> BPETokenizer:
    """The tokenizer of a published pair of files; with GPT-2's own, encoding gives GPT-2's ids.

    encoder  path of encoder.json (or vocab.json)
    merges   path of vocab.bpe (or merges.txt)
    returns  BPETokenizer; an entry that is no byte and that no merge makes is a special token
    raises   DataError naming the file and line at fault
    """
    ids = read_encoder(Path(encoder))
    pairs = read_merges(Path(merges))
    # The format does not list its special tokens: they are the entries that nothing makes.
    made = {to_printable(bytes([value])) for value in range(256)}
    made |= {left + right for left, right in pairs}
    tokens, special = [None] * len(ids), {}  # None where a special token stands
    for written, i in ids.items():
        if written in made:
            tokens[i] = from_printable(written)
        else:
            special[written] = i
    # Both halves of a merge, and their union, must have ids.
    lacking = [name for pair in pairs for name in (*pair, "".join(pair)) if name not in ids]
    if lacking:
        raise DataError(
            f"{merges}: {lacking[0]!r} is in a merge but not in {encoder}; take both files from "
            "one place"
        )
    return BPETokenizer(tokens, [(ids[left], ids[right]) for left, right in pairs], special)


def save_gpt2(tokenizer: BPETokenizer, encoder: str | Path, merges: str | Path) -> None:
    """Write a BPETokenizer as GPT-2's pair of files, for `load_gpt2` or any other reader of the
    format.

    encoder, merges  paths to write
    raises           DataError if the tokenizer has no merges or does not split text as GPT-2 does,
                     or if a special token is written like an ordinary one
    """
    if not isinstance(tokenizer, BPETokenizer):
        raise DataError(
            f"save_gpt2: a {type(tokenizer).__name__} has no merges to write; use tokenizer.save"
        )
    if tokenizer.pattern.name != "gpt2":
        raise DataError(
            f"save_gpt2: the split pattern is {tokenizer.pattern.name!r}, and the format implies "
            "'gpt2'; use tokenizer.save"
        )
    written = [to_printable(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)]
    for name, i in tokenizer.special.items():
        written[i] = name
    # A special token spelt like an ordinary one would be read back as that one.
    ids = {name: i for i, name in enumerate(written)}
    for name, i in tokenizer.special.items():
        if ids[name] != i or written.count(name) > 1:
            raise DataError(
                f"save_gpt2: the special token {name!r} is written like an ordinary token; "
                "rename it"
            )
    lines = [
        "#version: 0.2",
        *(f"{written[left]} {written[right]}" for left, right in tokenizer.merges),
        "",
    ]
    write_text(encoder, json.dumps(ids))
    write_text(merges, "\n".join(lines))


def read_encoder(path: str | Path) -> dict[str, int]:
    """{token as written: id} of a vocabulary file, with the ids 0 .. V - 1, each once.

    raises  DataError naming the file, if it cannot be read or holds something else
    """
    try:
        ids = strict_json(read_text_file(path))
    except DataError as error:
        raise DataError(f"cannot read the vocabulary file {path}: {error}") from error
    except ValueError as error:
        raise DataError(
            f"{path} is not JSON ({error}); it may have been cut short, fetch it again"
        ) from error
    # type(...) is int: True is an instance of int, but no id.
    if not isinstance(ids, dict) or not all(type(i) is int for i in ids.values()):
        raise DataError(
            f"{path} does not map tokens to ids; the encoder file comes first, the merges second"
        )
    if sorted(ids.values()) != list(range(len(ids))):
        raise DataError(
            f"{path}: the ids of its {len(ids)} tokens are not 0 to {len(ids) - 1}, each once"
        )
    return ids


def read_merges(path: str | Path) -> list[tuple[str, str]]:
    """[(left, right)], the merges of a file as written, first learnt first.

    raises  DataError naming the line that is no merge
    """
    pairs = []
    for number, line in numbered_lines(path):
        if number == 1 and line.startswith("#version"):  # only there: "# #" is a merge
            continue
        pair = tuple(line.split(" "))
        if len(pair) != 2 or not all(pair):
            raise DataError(
                f"{path}, line {number}: {line!r} is not a merge 'left right'; the file is damaged"
            )
        pairs.append(pair)
    return pairs

"""vocab.json with merges.txt, or vocab.txt, read as the tokenizer.json that they stand for.

The files hold tokens and merges only. How text is split, and what stands around it, follows from
the class that tokenizer_config.json names, or from the model's type; for any other it is not
guessed. Read next: folder.py.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylm.errors import DataError
from tinylm.tokenizers.gpt2 import read_encoder, read_merges
from tinylm.tokenizers.pretokenize import QWEN2
from tinylm.tokenizers.published.added import AddedToken

if TYPE_CHECKING:
    from tinylm.tokenizers.published.settings import Settings


# Model types by how they split text.
_GPT2 = "gpt2", "gpt_neo", "gptj", "opt", "codegen", "gpt_bigcode", "biogpt2"
_ROBERTA = "roberta", "bart", "longformer", "led", "mvp", "blenderbot"
_QWEN2 = "qwen2", "qwen2_moe", "qwen3", "qwen3_moe"
_GPT1 = ("openai-gpt",)
# {class without "Tokenizer" and "Fast": model type}
_CLASSES = {
    "GPT2": "gpt2",
    "CodeGen": "gpt2",
    "Roberta": "roberta",
    "Bart": "bart",
    "Longformer": "longformer",
    "LED": "led",
    "MVP": "mvp",
    "Blenderbot": "blenderbot",
    "Qwen2": "qwen2",
    "OpenAIGPT": "openai-gpt",
}
_BERT = {
    "Bert": "bert",
    "DistilBert": "distilbert",
    "Electra": "electra",
    "MobileBert": "mobilebert",
    "LayoutLM": "layoutlm",
    "Funnel": "funnel",
    "SqueezeBert": "squeezebert",
    "Lxmert": "lxmert",
    "RetriBert": "retribert",
}

# The special tokens of BERT's classes where no file names them.
BERT_NAMES = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def _family(name, kind, classes, where):
    """The model type that the class, or without one config.json, names.

    name, kind  tokenizer_class and model_type
    classes     {class: model type} that fit the files
    where       the files, for the message
    """
    if name is not None and not isinstance(name, str):
        raise DataError(f"tokenizer_config.json.tokenizer_class is {name!r}; it must be a text")
    short = (name or "").removesuffix("Fast").removesuffix("Tokenizer")
    default = None
    if not name or short == "PreTrained":  # no class in particular
        default = kind
    found = classes.get(short, default)
    known = {*classes.values(), *_GPT2, *_ROBERTA, *_QWEN2, *_GPT1}
    if not isinstance(found, str) or found not in known:
        raise DataError(
            f"{where}: how text is split is not known: tokenizer_class is {name!r} and model_type "
            f"{kind!r}, of which {', '.join(classes)} are read here; add the model's tokenizer.json"
        )
    return found


def from_merges(
    encoder: str | Path,
    merges: str | Path,
    settings: "Settings",
    name: str | None = None,
    kind: str | None = None,
) -> dict[str, Any]:
    """The description of byte-level BPE in two files, vocab.json and merges.txt.

    settings  Settings: special tokens that they leave open are those of the class
    name      tokenizer_class of tokenizer_config.json, or None
    kind      model_type of config.json, or None
    raises    DataError if neither is one of which it is known here how text is split
    """
    # Special tokens that the settings leave open are those of the class, if the files have them.
    family = _family(name, kind, _CLASSES, "vocab.json and merges.txt")
    ids, pairs = read_encoder(encoder), read_merges(merges)
    for role, token in _names(family).items():
        if getattr(token, "content", token) in ids:
            settings.names.setdefault(role, token)
    model = {"type": "BPE", "vocab": ids, "merges": [list(pair) for pair in pairs]}
    if family in _GPT1:  # GPT-1: over characters, with the end of a word marked
        return {
            "model": model | {"unk_token": "<unk>", "end_of_word_suffix": "</w>"},
            "decoder": {"type": "BPEDecoder"},
            "normalizer": {"type": "BertNormalizer"},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
        }
    split = {"type": "ByteLevel", "add_prefix_space": family == "blenderbot"}
    normalizer = frame = None
    if family in _QWEN2:  # its own pattern splits, and ByteLevel only writes bytes
        pattern = {"Regex": QWEN2.split.pattern}
        lines = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
        split = {"type": "Sequence", "pretokenizers": [lines, split | {"use_regex": False}]}
        normalizer = {"type": "NFC"}
    if family in _ROBERTA:
        frame = _around(settings, ids)
    return {
        "model": model,
        "added_tokens": [],
        "pre_tokenizer": split,
        "normalizer": normalizer,
        "post_processor": frame,
        "decoder": {"type": "ByteLevel"},
    }


def _names(family):
    """{role: token} of a class where no file names them."""
    if family in _ROBERTA:
        mask = AddedToken("<mask>", 0, special=True, lstrip=True, normalized=False)
        first, last = {"bos": "<s>", "cls": "<s>"}, {"eos": "</s>", "sep": "</s>"}
        return first | last | {"unk": "<unk>", "pad": "<pad>", "mask": mask}
    if family in _GPT1:
        return {"unk": "<unk>"}
    roles = ("bos", "eos", "unk")
    if family in _QWEN2:
        roles = ("eos", "pad", "unk")
    return dict.fromkeys(roles, "<|endoftext|>")


def _around(settings, ids):
    """RoBERTa's frame; None if the vocabulary lacks its tokens."""
    names = [settings.names.get(role) for role in ("cls", "sep")]
    first, last = (getattr(token, "content", token) for token in names)
    if first not in ids or last not in ids:
        return None
    return {"type": "RobertaProcessing", "cls": [first, ids[first]], "sep": [last, ids[last]]}


def from_pieces(
    path: Path, settings: "Settings", name: str | None = None, kind: str | None = None
) -> dict[str, Any]:
    """The description of BERT's WordPiece, of a vocab.txt with a piece a line.

    settings  Settings: their names of special tokens win over BERT's
    raises    DataError for a class or model type whose vocab.txt is read in another way
    """
    # Without any name, a vocab.txt is BERT's.
    if name is not None or kind is not None:
        _family(name, kind, _BERT, "vocab.txt")
    try:
        pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path.name}: {error}") from error
    ids = {piece: i for i, piece in enumerate(pieces)}
    if len(ids) < len(pieces):  # one text with two ids
        twice = next(piece for i, piece in enumerate(pieces) if ids[piece] != i)
        raise DataError(f"{path.name} has the piece {twice!r} twice; each may stand once")
    names = {}  # {role: token}
    for role, token in BERT_NAMES.items():
        if token in ids:
            settings.names.setdefault(role, token)
        named = settings.names.get(role)
        names[role] = getattr(named, "content", named) or token
    # All special tokens are found in the text as it comes, and stand in BERT's frame.
    added = [
        {
            "id": ids[token],
            "content": token,
            "special": True,
            "normalized": False,
            "lstrip": False,
            "rstrip": False,
            "single_word": False,
        }
        for token in names.values()
        if token in ids
    ]
    frame = None
    if names["cls"] in ids and names["sep"] in ids:
        frame = {
            "type": "BertProcessing",
            "sep": [names["sep"], ids[names["sep"]]],
            "cls": [names["cls"], ids[names["cls"]]],
        }
    return {
        "model": {"type": "WordPiece", "vocab": ids, "unk_token": names["unk"]},
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": frame,
        "decoder": {"type": "WordPiece"},
    }

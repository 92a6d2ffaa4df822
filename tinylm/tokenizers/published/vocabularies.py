"""Vocabularies without a tokenizer.json, as a tokenizer.json: vocab.json with merges.txt, and
vocab.txt.

The files hold tokens and merges only. How text is split, and what stands around it, follows from
the class that tokenizer_config.json names, or from the model's type; of others nothing is guessed.
Read next: folder.py.
"""

from tinylm.errors import DataError
from tinylm.tokenizers.gpt2 import read_encoder, read_merges
from tinylm.tokenizers.pretokenize import QWEN2
from tinylm.tokenizers.printable import CHARACTER_TO_BYTE

_GPT2 = "gpt2", "gpt_neo", "gptj", "opt", "codegen", "gpt_bigcode", "biogpt2"
_ROBERTA = "roberta", "bart", "longformer", "led", "mvp", "blenderbot"
_QWEN2 = "qwen2", "qwen2_moe", "qwen3", "qwen3_moe"
_GPT1 = ("openai-gpt",)
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
    """The model type that a class, or else config.json, names."""
    if name is not None and not isinstance(name, str):
        raise DataError(f"tokenizer_config.json.tokenizer_class is {name!r}; it must be a text")
    short = (name or "").removesuffix("Fast").removesuffix("Tokenizer")
    found = classes.get(short, kind if not name or short == "PreTrained" else None)
    if not isinstance(found, str) or found not in set(classes.values()) | set(
        _GPT2 + _ROBERTA + _QWEN2 + _GPT1
    ):
        raise DataError(
            f"{where} do not tell how text is split: tokenizer_class is {name!r} and model_type "
            f"{kind!r}, of which "
            f"{', '.join(classes)} are read here; add the model's tokenizer.json"
        )
    return found


def from_merges(encoder, merges, name=None, kind=None):
    """The description of byte-level BPE in two files, vocab.json and merges.txt.

    name     tokenizer_class of tokenizer_config.json, or None
    kind     model_type of config.json, or None
    raises   DataError where neither tells how text is split
    """
    family = _family(name, kind, _CLASSES, "vocab.json and merges.txt")
    ids, pairs = read_encoder(encoder), read_merges(merges)
    model = {"type": "BPE", "vocab": ids, "merges": [list(pair) for pair in pairs]}
    if family in _GPT1:
        return {
            "model": model | {"unk_token": "<unk>", "end_of_word_suffix": "</w>"},
            "decoder": {"type": "BPEDecoder"},
            "normalizer": {"type": "BertNormalizer"},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
        }
    made = set(CHARACTER_TO_BYTE) | {left + right for left, right in pairs}
    special = [token for token in ids if token not in made]
    added = [
        {
            "id": ids[token],
            "content": token,
            "special": True,
            "normalized": False,
            "lstrip": token == "<mask>",
            "single_word": False,
            "rstrip": False,
        }
        for token in special
    ]
    split, normalizer = (
        {"type": "ByteLevel", "add_prefix_space": family == "blenderbot", "use_regex": True},
        None,
    )
    if family in _QWEN2:
        lines = {
            "type": "Split",
            "pattern": {"Regex": QWEN2.split.pattern},
            "behavior": "Isolated",
            "invert": False,
        }
        split = {"type": "Sequence", "pretokenizers": [lines, split | {"use_regex": False}]}
        normalizer = {"type": "NFC"}
    frame = None
    if family in _ROBERTA and {"<s>", "</s>"} <= ids.keys():
        frame = {
            "type": "RobertaProcessing",
            "cls": ["<s>", ids["<s>"]],
            "sep": ["</s>", ids["</s>"]],
        }
    return {
        "model": model,
        "added_tokens": added,
        "pre_tokenizer": split,
        "normalizer": normalizer,
        "post_processor": frame,
        "decoder": {"type": "ByteLevel"},
    }


def from_pieces(path, settings, name=None, kind=None):
    """The description of BERT's WordPiece, of a vocab.txt with a piece a line.

    settings  Settings: their names of special tokens go before BERT's
    raises    DataError for a class or model type whose vocab.txt is read otherwise
    """
    if name is not None or kind is not None:
        _family(name, kind, _BERT, "vocab.txt alone does")
    try:
        pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path.name}: {error}") from error
    ids = {piece: i for i, piece in enumerate(pieces)}
    if len(ids) < len(pieces):
        twice = next(piece for i, piece in enumerate(pieces) if ids[piece] != i)
        raise DataError(f"{path.name} has the piece {twice!r} twice; each may stand once")
    names = {
        role: getattr(one, "content", one) or BERT_NAMES[role]
        for role, one in ({role: settings.names.get(role) for role in BERT_NAMES}).items()
    }
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

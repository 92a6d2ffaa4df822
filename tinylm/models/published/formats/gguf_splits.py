r"""How text is split before byte-level BPE, by its name in GGUF files (tokenizer.ggml.pre).

A name stands for the regular expressions of one tokenizer.json, one after another: matches are
pieces, and so is what lies between them. The names are llama.cpp's; a name that is not here is
refused. Read next: gguf_tokenizer.py.
"""

from tinylm.tokenizers.pretokenize import GPT2 as _GPT2
from tinylm.tokenizers.pretokenize import LLAMA3 as _LLAMA3
from tinylm.tokenizers.pretokenize import QWEN2 as _QWEN2

_WORDS, _LINES, _ONE_DIGIT = (pattern.split.pattern for pattern in (_GPT2, _LLAMA3, _QWEN2))
_DIGIT, _CHINESE = r"\p{N}", r"[一-龥ࠀ-一가-퟿]+"
# English contractions, of either case.
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SENTENCE = r" ?[^(\s|.,!?…。，、।۔،)]+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SIGNS_AND_ENDS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Signs with letters behind them, words, signs, ends of lines: DeepSeek 3.
_MIXED = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _cased(end, digits):
    """Words that are cut where upper case begins anew: Tekken and GPT-4o."""
    before = r"[^\r\n\p{L}\p{N}]?"
    words = f"{before}{_UPPER}*{_LOWER}+{end}|{before}{_UPPER}+{_LOWER}*{end}"
    return f"{words}|{digits}|{_SIGNS_AND_ENDS}"


# (regular expressions, names that stand for them)
_BY_SPLIT = [
    (
        (_WORDS,),
        "gpt-2 phi-2 olmo mpt jais jina-es jina-de jina-v2-es jina-v2-de jina-v1-en jina-v2-code "
        "roberta-bpe gigachat exaone4 mellum a.x-4.0 trillion granite-docling",
    ),
    ((_DIGIT, _WORDS), "smollm starcoder refact command-r codeshell exaone minerva-7b"),
    (
        (_LINES,),
        "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 dbrx smaug-bpe "
        "chatglm-bpe glm4",
    ),
    ((_ONE_DIGIT,), "qwen2 deepseek-r1-qwen kormo megrez stablelm2 hunyuan grok-2"),
    ((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CHINESE, _DIGIT), "deepseek-coder"),
    ((r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", _MIXED), "deepseek-v3 hunyuan-dense"),
    ((r"[\p{P}\$\+<=>\^~\|`]+", _WORDS, r"[0-9][0-9][0-9]"), "falcon"),
    ((_SENTENCE,), "bloom poro-chat gpt3-finnish"),
    ((_SENTENCE, _DIGIT), "viking"),
    ((_cased("", _DIGIT),), "tekken"),
    ((_cased(f"{_ENDINGS}?", r"\p{N}{1,3}"),), "gpt-4o llama4 minimax-m2"),
]
SPLITS = {name: split for split, names in _BY_SPLIT for name in names.split()}

# A piece that is a token is not merged.
WHOLE = frozenset(
    "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 tekken".split()
)
# The default of add_bos_token is true.
FRAMED = WHOLE
# Text is composed (NFC) first, as their tokenizer.json has it.
COMPOSED = frozenset(("qwen2", "deepseek-r1-qwen"))

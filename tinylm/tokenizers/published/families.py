"""What a class adds to a SentencePiece model file: the order of ids, tokens beside the pieces, and
what frames a text.

    Llama, Gemma             ids of the file; the begin of the text in front unless add_bos_token
                             is false
    T5                       ids of the file, then <extra_id_99> to <extra_id_0>; the end of the
                             text behind
    XLMRoberta, Camembert    fairseq's first ids, then the pieces, then <mask>; <s> text </s>
    XLNet, Albert            ids of the file; quotes, accents and case are changed first

Read next: folder.py.
"""

from tinylm.errors import DataError
from tinylm.tokenizers.published.pieces import PieceTokenizer
from tinylm.tokenizers.published.scored import ADDED, CONTROL, UNKNOWN, UNUSED
from tinylm.tokenizers.published.sentencepiece import read_sentencepiece

_CLASSES = {
    "Llama": "llama",
    "CodeLlama": "llama",
    "Gemma": "llama",
    "T5": "t5",
    "MT5": "t5",
    "XLMRoberta": "xlm-roberta",
    "Camembert": "camembert",
    "XLNet": "xlnet",
    "Albert": "albert",
}
_TYPES = {
    "llama": "llama",
    "mistral": "llama",
    "mixtral": "llama",
    "gemma": "llama",
    "gemma2": "llama",
    "phi3": "llama",
    "t5": "t5",
    "mt5": "t5",
    "xlm-roberta": "xlm-roberta",
    "camembert": "camembert",
    "xlnet": "xlnet",
    "albert": "albert",
}


def from_model(path, settings, name=None, kind=None, older=None):
    """The tokenizer of a model file of SentencePiece.

    settings  Settings; roles that it leaves open are filled in from the file
    name      tokenizer_class, or None
    kind      model_type, or None
    older     {token: id} of added_tokens.json
    raises    DataError where neither tells what the class adds to the file
    """
    described, ids = read_sentencepiece(path)
    for role, i in ids.items():
        settings.names.setdefault(role, described["pieces"][i][0])
    family = _family(name, kind)
    if family is None:
        raise DataError(
            f"{path.name}: what is added to it depends on the class: tokenizer_class is {name!r} "
            f"and model_type {kind!r}; {', '.join(_CLASSES)} are read here. Add the model's "
            "tokenizer.json"
        )
    described = _MADE[family](described, settings)
    described = _with_added(described, settings, older or {})
    frame = _FRAMED[family](settings, {piece[0]: i for i, piece in enumerate(described["pieces"])})
    return PieceTokenizer(described | {"frame": frame})


def _family(name, kind):
    """The family that a class, or else a model type, names; LLaMA's where neither is given."""
    if isinstance(name, str):
        return _CLASSES.get(name.removesuffix("Fast").removesuffix("Tokenizer"))
    if name is None and kind is None:
        return "llama"
    if name is None and isinstance(kind, str):
        return _TYPES.get(kind)
    return None


def _llama(described, settings):
    wanted = settings.flags.get(
        "add_prefix_space", settings.flags.get("add_dummy_prefix", described["prefix"])
    )
    # legacy: a mark before every part between special tokens, not only before the first
    return described | {"prefix": wanted, "each": settings.flags.get("legacy", False)}


def _t5(described, settings):
    listed = [token for token in settings.added if token.content.startswith("<extra_id_")]
    count = 0 if listed else settings.flags.get("extra_ids", 100)
    extra = [[f"<extra_id_{i}>", 0.0, CONTROL] for i in range(count - 1, -1, -1)]
    return described | {"pieces": described["pieces"] + extra}


def _fairseq(first, skipped):
    def made(described, settings):
        pieces = [*first, *described["pieces"][skipped:], ["<mask>", 0.0, CONTROL]]
        mask = {
            "id": len(pieces) - 1,
            "content": "<mask>",
            "lstrip": True,
            "special": True,
            "normalized": False,
        }
        for role, name in (
            ("cls", "<s>"),
            ("sep", "</s>"),
            ("bos", "<s>"),
            ("eos", "</s>"),
            ("pad", "<pad>"),
            ("mask", "<mask>"),
        ):
            settings.names.setdefault(role, name)
        return described | {"pieces": pieces, "added": [mask]}

    return made


def _changed_first(lower, **names):
    def made(described, settings):
        for role, token in names.items():
            settings.names.setdefault(role, token)
        steps = [
            {"type": "Strip"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
        ]
        steps *= settings.flags.get("remove_space", True)
        steps += [
            {"type": "Replace", "pattern": {"String": quote}, "content": '"'}
            for quote in ("``", "''")
        ]
        if not settings.flags.get("keep_accents", False):
            steps += [{"type": "NFKD"}, {"type": "StripAccents"}]
        if settings.flags.get("do_lower_case", lower):
            steps.append({"type": "Lowercase"})
        return described | {"before": {"type": "Sequence", "normalizers": steps}}

    return made


def _with_added(described, settings, older):
    """The pieces with the tokens that the settings add: those with ids at their places, others at
    the end.
    """
    pieces = list(described["pieces"])
    added = {one["content"]: one for one in described.get("added", [])}
    listed = sorted(
        [(token.id, token.content, vars(token)) for token in settings.added]
        + [(i, content, {"id": i, "content": content}) for content, i in older.items()],
        key=lambda one: one[0],
    )
    for i, content, flags in listed:
        kind = CONTROL if flags.get("special") else ADDED
        if i > len(pieces):
            raise DataError(
                f"the added token {content!r} has the id {i}, and no token has the id {len(pieces)}"
            )
        if i == len(pieces):
            pieces.append([content, 0.0, kind])
        elif pieces[i][0] != content:
            raise DataError(
                f"the added token {content!r} has the id {i}, which is that of the piece "
                f"{pieces[i][0]!r}"
            )
        elif pieces[i][2] != UNKNOWN and kind == CONTROL:
            pieces[i] = [content, pieces[i][1], CONTROL]
        added[content] = flags
    known = {piece[0]: i for i, piece in enumerate(pieces)}
    for token in [*settings.names.values(), *settings.extra]:
        content = getattr(token, "content", token)
        if content is not None and content not in known:
            known[content] = len(pieces)
            pieces.append([content, 0.0, CONTROL])
            if token is not content:
                added[content] = vars(token) | {"id": known[content], "special": True}
        elif content is not None and pieces[known[content]][2] != UNKNOWN:
            pieces[known[content]] = [*pieces[known[content]][:2], CONTROL]
    return described | {"pieces": pieces, "added": list(added.values())}


def _ends(bos, eos):
    """A frame by add_bos_token and add_eos_token, with what they are where the settings do not
    tell.
    """

    def framed(settings, ids):
        before, behind = [], []
        for role, default, side in (("bos", bos, before), ("eos", eos, behind)):
            name = settings.names.get(role)
            name = getattr(name, "content", name)
            if settings.flags.get(f"add_{role}_token", default) and name is not None:
                side.append(ids[name])
        single, second = (
            [[i, segment] for i in before] + [[text, segment]] + [[i, segment] for i in behind]
            for text, segment in (("A", 0), ("B", 1))
        )
        return [single, single + second]

    return framed


def _items(single, pair):
    """A frame of A, B and names of roles, each with its segment: "cls:0 A:0 sep:0"."""

    def framed(settings, ids):
        def read(written):
            found = []
            for item in written.split():
                one, segment = item.split(":")
                name = settings.names.get(one)
                found.append(
                    [one if one in "AB" else ids[getattr(name, "content", name)], int(segment)]
                )
            return found

        return [read(single), read(pair)]

    return framed


_ROBERTA = [
    ["<s>", 0.0, CONTROL],
    ["<pad>", 0.0, CONTROL],
    ["</s>", 0.0, CONTROL],
    ["<unk>", 0.0, UNKNOWN],
]
_CAMEMBERT = [
    ["<s>NOTUSED", 0.0, CONTROL],
    ["<pad>", 0.0, CONTROL],
    ["</s>NOTUSED", 0.0, CONTROL],
    ["<unk>", 0.0, UNKNOWN],
    ["<unk>NOTUSED", -100.0, UNUSED],
]
_MADE = {
    "llama": _llama,
    "t5": _t5,
    "xlm-roberta": _fairseq(_ROBERTA, 3),
    "camembert": _fairseq(_CAMEMBERT, 1),
    "xlnet": _changed_first(False, sep="<sep>", cls="<cls>", pad="<pad>", mask="<mask>"),
    "albert": _changed_first(True, sep="[SEP]", cls="[CLS]", pad="<pad>", mask="[MASK]"),
}
_SEPARATED = _items("cls:0 A:0 sep:0", "cls:0 A:0 sep:0 sep:0 B:0 sep:0")
_FRAMED = {
    "llama": _ends(True, False),
    "t5": _ends(False, True),
    "xlm-roberta": _SEPARATED,
    "camembert": _SEPARATED,
    "xlnet": _items("A:0 sep:0 cls:2", "A:0 sep:0 B:1 sep:1 cls:2"),
    "albert": _items("cls:0 A:0 sep:0", "cls:0 A:0 sep:0 B:1 sep:1"),
}

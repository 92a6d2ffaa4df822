"""What a model family adds to a SentencePiece file: the order of ids, more tokens, and the frame.

    Llama, Gemma             ids of the file; <s> text, unless add_bos_token is false
    T5                       ids of the file, then <extra_id_99> to <extra_id_0>; text </s>
    XLMRoberta, Camembert    fairseq's first ids, then the pieces, then <mask>; <s> text </s>
    XLNet, Albert            ids of the file; the text's quotes, accents and case are changed first

Read next: folder.py.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from tinylm.errors import DataError
from tinylm.tokenizers.published.pieces import PieceTokenizer
from tinylm.tokenizers.published.scored import ADDED, CONTROL, UNKNOWN, UNUSED
from tinylm.tokenizers.published.sentencepiece import read_sentencepiece

if TYPE_CHECKING:
    from tinylm.tokenizers.published.settings import Settings


# The family of a tokenizer_class, without "Tokenizer" and "Fast".
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
# The family of a model_type, where no class is named.
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


def from_model(
    path: Path,
    settings: "Settings",
    name: str | None = None,
    kind: str | None = None,
    older: dict[str, int] | None = None,
) -> PieceTokenizer:
    """The tokenizer of a model file of SentencePiece.

    settings  Settings; roles that it leaves open are filled in from the file
    name      tokenizer_class, or None
    kind      model_type, or None
    older     {token: id} of added_tokens.json
    raises    DataError if the class, or else the type, is none that is read here
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
    # First what the family adds, then what this folder's settings add; the frame needs the ids of
    # both.
    described = _MADE[family](described, settings)
    described = _with_added(described, settings, older or {})
    token_ids = {piece[0]: i for i, piece in enumerate(described["pieces"])}
    frame = _FRAMED[family](settings, token_ids)
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
    """LLaMA's description: the file's, with the settings of the mark before a text."""
    flags = settings.flags
    wanted = flags.get("add_prefix_space", flags.get("add_dummy_prefix", described["prefix"]))
    # legacy: a mark before every part between special tokens, not only before the first.
    return described | {"prefix": wanted, "each": flags.get("legacy", False)}


def _t5(described, settings):
    """T5's description: sentinels after the pieces, unless the settings list them."""
    listed = any(token.content.startswith("<extra_id_") for token in settings.added)
    count = 0
    if not listed:
        count = settings.flags.get("extra_ids", 100)
    # <extra_id_0>, the first sentinel of a text, has the largest id.
    extra = [[f"<extra_id_{i}>", 0.0, CONTROL] for i in range(count - 1, -1, -1)]
    return described | {"pieces": described["pieces"] + extra}


def _fairseq(first, skipped):
    """The builder of fairseq's order of ids.

    first    pieces in front of the file's
    skipped  so many pieces of the file are left out, because `first` has them
    """

    def made(described, settings):
        pieces = [*first, *described["pieces"][skipped:], ["<mask>", 0.0, CONTROL]]
        mask = {  # takes the space before it: the model predicts a whole word
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
    """The builder of a description with a normalizer in front.

    lower  make text lower case, if the settings leave it open
    names  {role: token} where the settings name none
    """

    def made(described, settings):
        for role, token in names.items():
            settings.names.setdefault(role, token)
        # Single spaces; "plain" quotes; accents off; lower case: each as the settings have it.
        steps = [
            {"type": "Strip"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
        ]
        steps *= settings.flags.get("remove_space", True)  # times False: no steps
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
    """The description with the tokens of the settings: those with ids at their places, others last.

    older    {token: id} of added_tokens.json
    raises   DataError if an id is another token's, or leaves a gap
    """
    pieces = list(described["pieces"])
    added = {one["content"]: one for one in described.get("added", [])}
    listed = [(token.id, token.content, vars(token)) for token in settings.added]
    listed += [(i, content, {"id": i, "content": content}) for content, i in older.items()]
    # By id, so that every new token comes right after the last one.
    for i, content, flags in sorted(listed, key=lambda one: one[0]):
        kind = ADDED
        if flags.get("special"):
            kind = CONTROL
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
        # A piece of the file that the settings call special; the unknown piece stays what it is.
        elif pieces[i][2] != UNKNOWN and kind == CONTROL:
            pieces[i] = [content, pieces[i][1], CONTROL]
        added[content] = flags
    # Named special tokens: new ones get the next free id.
    known = {piece[0]: i for i, piece in enumerate(pieces)}
    for token in [*settings.names.values(), *settings.extra]:
        content = getattr(token, "content", token)
        if content is not None and content not in known:
            known[content] = len(pieces)
            pieces.append([content, 0.0, CONTROL])
            if token is not content:  # an AddedToken: its flags are kept
                added[content] = vars(token) | {"id": known[content], "special": True}
        elif content is not None and pieces[known[content]][2] != UNKNOWN:
            pieces[known[content]] = [*pieces[known[content]][:2], CONTROL]
    return described | {"pieces": pieces, "added": list(added.values())}


def _ends(bos, eos):
    """A frame by add_bos_token and add_eos_token; `bos` and `eos` are their defaults."""

    def framed(settings, ids):
        before, behind = [], []
        for role, default, side in (("bos", bos, before), ("eos", eos, behind)):
            name = settings.names.get(role)
            name = getattr(name, "content", name)
            if settings.flags.get(f"add_{role}_token", default) and name is not None:
                side.append(ids[name])
        # For one text, and for two: [[id or "A" or "B", segment], ...], as in frame.py.
        single = [[item, 0] for item in (*before, "A", *behind)]
        second = [[item, 1] for item in (*before, "B", *behind)]
        return [single, single + second]

    return framed


def _items(single, pair):
    """A frame of A, B and names of roles, each with its segment: "cls:0 A:0 sep:0".

    single, pair  such texts, for one text and for two
    """

    def framed(settings, ids):
        def read(written):
            found = []
            for item in written.split():
                one, segment = item.split(":")
                if one not in "AB":
                    name = settings.names.get(one)
                    one = ids[getattr(name, "content", name)]
                found.append([one, int(segment)])
            return found

        return [read(single), read(pair)]

    return framed


# fairseq's own vocabulary begins so; the pieces of the file follow. [text, score, kind]
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
# {family: function (description, settings) -> description}
_MADE = {
    "llama": _llama,
    "t5": _t5,
    "xlm-roberta": _fairseq(_ROBERTA, 3),
    "camembert": _fairseq(_CAMEMBERT, 1),
    "xlnet": _changed_first(False, sep="<sep>", cls="<cls>", pad="<pad>", mask="<mask>"),
    "albert": _changed_first(True, sep="[SEP]", cls="[CLS]", pad="<pad>", mask="[MASK]"),
}
_SEPARATED = _items("cls:0 A:0 sep:0", "cls:0 A:0 sep:0 sep:0 B:0 sep:0")
# {family: function (settings, {token: id}) -> frame}; eos alone after T5's text, bos alone before
# LLaMA's.
_FRAMED = {
    "llama": _ends(True, False),
    "t5": _ends(False, True),
    "xlm-roberta": _SEPARATED,
    "camembert": _SEPARATED,
    "xlnet": _items("A:0 sep:0 cls:2", "A:0 sep:0 B:1 sep:1 cls:2"),
    "albert": _items("cls:0 A:0 sep:0", "cls:0 A:0 sep:0 B:1 sep:1"),
}

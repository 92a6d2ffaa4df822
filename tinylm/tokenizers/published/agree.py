"""tokenizer.json and tokenizer_config.json together: one description, or an error.

A tokenizer.json is complete; settings that repeat a part of it must agree. In three cases Hugging
Face's library lets the settings win, and so does this file: the case and accents of BERT, flags of
added tokens, and special tokens without an id. Read next: folder.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tinylm.errors import DataError
from tinylm.fields import show
from tinylm.tokenizers.published.added import AddedToken

if TYPE_CHECKING:
    from tinylm.tokenizers.published.settings import Settings


# The settings that win over BERT's normalizer: {their name: its field}.
_BERT = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def agreed(
    described: dict[str, Any],
    settings: "Settings",
    older: dict[str, int] | None = None,
    built: bool = False,
) -> tuple[dict, bool]:
    """A description together with its settings.

    described  tokenizer.json as a dict
    settings   Settings
    older      {token: id} of added_tokens.json
    built      the description was made from other files: the settings complete it, where a
               tokenizer.json must agree with them
    returns    (description, whether decoded text is cleaned)
    raises     DataError if the two contradict each other
    """
    described = _with_tokens(described, settings, older or {})
    described = _with_case(described, settings.flags)
    _check_prefix(described, settings.flags, built)
    described = _with_ends(described, settings, built)
    clean = settings.flags.get("clean_up_tokenization_spaces", False)
    if _kind(described.get("model")) == "BPE":
        # BPE keeps every space, so cleaning would remove spaces of the text: the library needs a
        # second flag for it.
        name = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"
        clean = clean and settings.flags.get(name, False)
    return described, clean


def _kind(value):
    """The type of a component; None without one."""
    if isinstance(value, dict):
        return value.get("type")
    return None


def parts_of(value: Any, kind: str) -> list[dict]:
    """All objects of one type within a component, sequences taken apart."""
    if isinstance(value, list):
        return [part for one in value for part in parts_of(one, kind)]
    if not isinstance(value, dict):
        return []
    if value.get("type") == kind:
        return [value]
    found = []
    for name in ("normalizers", "pretokenizers", "decoders", "processors"):
        found += parts_of(value.get(name), kind)
    return found


def _model_ids(described):
    """{token: id} of the model, without any check: damaged parts are refused when it is built."""
    model = described.get("model")
    if not isinstance(model, dict):
        return {}
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        return dict(vocabulary)
    if not isinstance(vocabulary, list):
        return {}
    # Unigram's [[token, log-probability], ...]
    return {
        one[0]: i
        for i, one in enumerate(vocabulary)
        if isinstance(one, list) and one and isinstance(one[0], str)
    }


def _with_tokens(described, settings, older):
    """The description with the added tokens of all files; those without an id come last."""
    ids = _model_ids(described)
    listed = described.get("added_tokens") or []
    if not isinstance(listed, list):
        listed = []
    # `tokens` are the added tokens so far, `known` the ids of all tokens. Of one token in several
    # files the ids must be the same; the flags are those of added_tokens_decoder.
    tokens = {}
    # 1. tokenizer.json
    for i, one in enumerate(listed):
        token = AddedToken.read(one, f"tokenizer.json.added_tokens[{i}]")
        tokens[token.content] = token
    # 2. added_tokens_decoder of tokenizer_config.json
    known = ids | {name: token.id for name, token in tokens.items()}
    for token in settings.added:
        if known.get(token.content, token.id) != token.id:
            raise DataError(
                f"tokenizer_config.json.added_tokens_decoder.{token.id} is {token.content!r}, "
                f"whose id is {known[token.content]} in tokenizer.json"
            )
        tokens[token.content], known[token.content] = token, token.id
    # 3. added_tokens.json; 4. special tokens that are named without an id
    named = [*settings.names.values(), *settings.extra]
    contents = {getattr(token, "content", token) for token in named}
    for content, i in older.items():
        if known.get(content, i) != i:
            raise DataError(
                f"added_tokens.json.{content} is {i}, and {known[content]} in tokenizer.json"
            )
        tokens.setdefault(content, AddedToken(content, i, normalized=content not in contents))
        known[content] = i
    for token in named:
        _add_special(token, tokens, known)
    by_id = sorted(tokens.values(), key=lambda token: token.id)
    return described | {"added_tokens": [vars(token) for token in by_id]}


def _add_special(token, tokens, known):
    """Make a named token special, with the next free id if it has none."""
    if token is None:
        return
    content = getattr(token, "content", token)
    number = known.setdefault(content, 1 + max(known.values(), default=-1))
    if content in tokens:  # added before, with its own flags
        tokens[content] = replace(tokens[content], special=True)
        return
    if not isinstance(token, AddedToken):
        token = AddedToken(content, 0, normalized=False)
    tokens[content] = replace(token, id=number, special=True)


def _with_case(described, flags):
    """The description with the settings of case, accents and Chinese characters in it.

    raises  DataError if its normalizer is none of BERT's and contradicts them
    """
    normalizer = described.get("normalizer")
    if _kind(normalizer) == "BertNormalizer":
        changed = {theirs: flags[ours] for ours, theirs in _BERT.items() if ours in flags}
        return described | {"normalizer": normalizer | changed}
    # A precompiled map may make lower case, which cannot be seen from outside.
    may_lower = any(
        parts_of(normalizer, kind) for kind in ("Lowercase", "Precompiled", "BertNormalizer")
    )
    lowers = bool(parts_of(normalizer, "Lowercase"))
    wanted = flags.get("do_lower_case")
    if lowers and wanted is False or wanted and not may_lower:
        raise _contradiction("do_lower_case", flags, "normalizer", normalizer)
    if flags.get("keep_accents") and parts_of(normalizer, "StripAccents"):
        raise _contradiction("keep_accents", flags, "normalizer", normalizer)
    return described


def _contradiction(name, flags, component, value):
    """The DataError for a flag and a component that exclude each other."""
    return DataError(
        f"tokenizer_config.json.{name} is {flags[name]}, and tokenizer.json has another "
        f"{component}: {show(value)}; mend one of the two"
    )


def _check_prefix(described, flags, built):
    """Refuse an add_prefix_space that the pre-tokenizer contradicts; a `built` one takes it."""
    wanted, split = flags.get("add_prefix_space"), described.get("pre_tokenizer")
    if wanted is None:
        return
    # Byte-level BPE has it as a field; Metaspace as the scheme of its marks.
    for part in parts_of(split, "ByteLevel"):
        if built:
            part["add_prefix_space"] = wanted
        elif part.get("add_prefix_space", True) != wanted:
            raise _contradiction("add_prefix_space", flags, "pre_tokenizer", split)
    for part in parts_of(split, "Metaspace"):
        scheme = part.get("prepend_scheme", "always")
        never = scheme == "never" or part.get("add_prefix_space") is False
        if never == wanted:
            raise _contradiction("add_prefix_space", flags, "pre_tokenizer", split)


def _with_ends(described, settings, built):
    """The description with the frame of add_bos_token and add_eos_token.

    raises  DataError if a tokenizer.json has another one
    """
    flags, frame = settings.flags, described.get("post_processor")
    for role, name, place in (("bos", "add_bos_token", 0), ("eos", "add_eos_token", -1)):
        if not built and name in flags and role in settings.names:
            token = getattr(settings.names[role], "content", settings.names[role])
            if token is not None and flags[name] != _stands(frame, token, place):
                raise _contradiction(name, flags, "post_processor", frame)
    if built and ("add_bos_token" in flags or "add_eos_token" in flags) and frame is None:
        return described | {"post_processor": framing(described["added_tokens"], settings)}
    return described


def _stands(frame, token, place):
    """Whether a post-processor puts a token first (place 0) or last (-1)."""
    for part in parts_of(frame, "TemplateProcessing"):
        # {"single": [{"SpecialToken": {"id": token, ...}}, {"Sequence": ...}, ...]}
        items = part.get("single")
        if not isinstance(items, list) or not items or not isinstance(items[place], dict):
            return False
        inner = items[place].get("SpecialToken")
        return isinstance(inner, dict) and inner.get("id") == token
    # {"cls": [token, id], "sep": [token, id]}
    field = ("cls", "sep")[place]
    parts = parts_of(frame, "BertProcessing") + parts_of(frame, "RobertaProcessing")
    pairs = [part.get(field) for part in parts]
    return any(isinstance(pair, list) and pair[:1] == [token] for pair in pairs)


def framing(added: Sequence[dict[str, int | str]], settings: "Settings") -> dict[str, Any] | None:
    """The post-processor of add_bos_token and add_eos_token; None where both are false."""
    ids = {one["content"]: one["id"] for one in added}
    names = []
    for role in ("bos", "eos"):
        token = getattr(settings.names.get(role), "content", settings.names.get(role))
        if not settings.flags.get(f"add_{role}_token") or token not in ids:
            token = None
        names.append(token)
    return template(*names, ids=ids)


def template(first: str | None, last: str | None, ids: dict[str, int]) -> dict[str, Any] | None:
    """A TemplateProcessing with a token before and one behind each text; None without any.

    first, last  tokens or None
    ids          {token: id}
    """
    if first is None and last is None:
        return None

    def around(text, segment):
        items = [{"Sequence": {"id": text, "type_id": segment}}]
        if first is not None:
            items.insert(0, {"SpecialToken": {"id": first, "type_id": segment}})
        if last is not None:
            items.append({"SpecialToken": {"id": last, "type_id": segment}})
        return items

    names = [name for name in (first, last) if name is not None]
    tokens = {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in names}
    return {
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": around("A", 0) + around("B", 1),
        "special_tokens": tokens,
    }

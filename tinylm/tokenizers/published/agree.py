"""tokenizer.json and tokenizer_config.json together: special tokens are added, contradictions
refused.

A tokenizer.json is complete; what the settings say besides must be the same. Where Hugging Face's
library lets the settings win (the case and accents of BERT, flags of added tokens, special tokens
that have no id yet), so they do here. Read next: folder.py.
"""

from dataclasses import replace

from tinylm.errors import DataError
from tinylm.fields import show
from tinylm.tokenizers.published.added import AddedToken

_ACCENTS = "strip_accents"
_BERT = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def agreed(described, settings, older=None, built=False):
    """A description with what the settings add.

    described  tokenizer.json as a dict
    settings   Settings
    older      {token: id} of added_tokens.json
    built      the description was made of other files, and so takes what the settings say
    returns    (description, whether decoded text is cleaned)
    raises     DataError where the two contradict each other
    """
    described = _with_tokens(described, settings, older or {})
    described = _with_case(described, settings.flags)
    _check_prefix(described, settings.flags, built)
    described = _with_ends(described, settings, built)
    clean = settings.flags.get("clean_up_tokenization_spaces", False)
    if _kind(described.get("model")) == "BPE":  # there it would take out spaces that the text had
        clean = clean and settings.flags.get(
            "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", False
        )
    return described, clean


def _kind(value):
    if isinstance(value, dict):
        return value.get("type")
    return None


def parts_of(value, kind):
    """All objects of one type within a component, sequences taken apart."""
    if isinstance(value, list):
        return [part for one in value for part in parts_of(one, kind)]
    if not isinstance(value, dict):
        return []
    if value.get("type") == kind:
        return [value]
    return [
        part
        for name in ("normalizers", "pretokenizers", "decoders", "processors")
        for part in parts_of(value.get(name), kind)
    ]


def _with_tokens(described, settings, older):
    """The added tokens of all files; those without an id come after all others."""
    model = described.get("model") if isinstance(described.get("model"), dict) else {}
    vocabulary = model.get("vocab")
    ids = dict(vocabulary) if isinstance(vocabulary, dict) else {}
    if isinstance(vocabulary, list):
        ids = {
            one[0]: i
            for i, one in enumerate(vocabulary)
            if isinstance(one, list) and one and isinstance(one[0], str)
        }
    listed = described.get("added_tokens") or []
    if not isinstance(listed, list):
        listed = []
    tokens = {}
    for i, one in enumerate(listed):
        token = AddedToken.read(one, f"tokenizer.json.added_tokens[{i}]")
        tokens[token.content] = token
    known = ids | {name: token.id for name, token in tokens.items()}
    for token in settings.added:
        if known.get(token.content, token.id) != token.id:
            raise DataError(
                f"tokenizer_config.json.added_tokens_decoder.{token.id} is {token.content!r}, "
                f"whose id is "
                f"{known[token.content]} in tokenizer.json"
            )
        tokens[token.content], known[token.content] = token, token.id
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
    return described | {
        "added_tokens": [
            vars(token) for token in sorted(tokens.values(), key=lambda token: token.id)
        ]
    }


def _add_special(token, tokens, known):
    if token is None:
        return
    content = getattr(token, "content", token)
    number = known.setdefault(content, 1 + max(known.values(), default=-1))
    if content in tokens:  # its flags are given there
        tokens[content] = replace(tokens[content], special=True)
    else:
        made = token if isinstance(token, AddedToken) else AddedToken(content, 0, normalized=False)
        tokens[content] = replace(made, id=number, special=True)


def _with_case(described, flags):
    """The case, accents and Chinese characters of BERT's normalizer as the settings have them."""
    normalizer = described.get("normalizer")
    if _kind(normalizer) == "BertNormalizer":
        changed = {theirs: flags[ours] for ours, theirs in _BERT.items() if ours in flags}
        return described | {"normalizer": normalizer | changed}
    lower = any(parts_of(normalizer, kind) for kind in ("Lowercase", "Precompiled"))
    exact = bool(parts_of(normalizer, "Lowercase")) and flags.get("do_lower_case") is False
    if (
        exact
        or flags.get("do_lower_case")
        and not lower
        and not parts_of(normalizer, "BertNormalizer")
    ):
        raise _contradiction("do_lower_case", flags, "normalizer", normalizer)
    if flags.get("keep_accents") and parts_of(normalizer, "StripAccents"):
        raise _contradiction("keep_accents", flags, "normalizer", normalizer)
    return described


def _contradiction(name, flags, component, value):
    return DataError(
        f"tokenizer_config.json.{name} is {flags[name]}, and tokenizer.json has another "
        f"{component}: {show(value)}; "
        "mend one of the two"
    )


def _check_prefix(described, flags, built):
    """add_prefix_space: a space before the text, as the pre-tokenizer has it."""
    wanted, split = flags.get("add_prefix_space"), described.get("pre_tokenizer")
    if wanted is None:
        return
    for part in parts_of(split, "ByteLevel"):
        if built:
            part["add_prefix_space"] = wanted
        elif part.get("add_prefix_space", True) != wanted:
            raise _contradiction("add_prefix_space", flags, "pre_tokenizer", split)
    marks = parts_of(split, "Metaspace")
    never = [
        part.get("prepend_scheme", "always") == "never" or part.get("add_prefix_space") is False
        for part in marks
    ]
    if marks and any(one == wanted for one in never):
        raise _contradiction("add_prefix_space", flags, "pre_tokenizer", split)


def _with_ends(described, settings, built):
    """add_bos_token and add_eos_token: the special tokens around a text."""
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
        items = part.get("single")
        item = items[place] if isinstance(items, list) and items else {}
        inner = item.get("SpecialToken") if isinstance(item, dict) else None
        return isinstance(inner, dict) and inner.get("id") == token
    field = ("cls", "sep")[place]
    pairs = [
        part.get(field)
        for kind in ("BertProcessing", "RobertaProcessing")
        for part in parts_of(frame, kind)
    ]
    return any(isinstance(pair, list) and pair[:1] == [token] for pair in pairs)


def framing(added, settings):
    """The post-processor that add_bos_token and add_eos_token mean: null where both are false."""
    ids = {one["content"]: one["id"] for one in added}
    names = []
    for role in ("bos", "eos"):
        token = getattr(settings.names.get(role), "content", settings.names.get(role))
        names.append(token if settings.flags.get(f"add_{role}_token") and token in ids else None)
    return template(*names, ids)


def template(first, last, ids):
    """A TemplateProcessing with a token before and one behind each text; null without any.

    first, last  tokens or None
    ids          {token: id}
    """
    if first is None and last is None:
        return None

    def around(text, segment):
        items = [{"SpecialToken": {"id": first, "type_id": segment}}] if first is not None else []
        items.append({"Sequence": {"id": text, "type_id": segment}})
        return items + (
            [{"SpecialToken": {"id": last, "type_id": segment}}] if last is not None else []
        )

    tokens = {
        name: {"id": name, "ids": [ids[name]], "tokens": [name]}
        for name in (first, last)
        if name is not None
    }
    return {
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": around("A", 0) + around("B", 1),
        "special_tokens": tokens,
    }

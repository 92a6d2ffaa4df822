"""tokenizer_config.json and special_tokens_map.json: every field is read, or refused by name.

Some fields repeat what is in tokenizer.json and must agree with it (agree.py); the others name
special tokens (`Settings`). Read next: folder.py.
"""

from dataclasses import dataclass, field
from typing import Any

from tinylm.errors import CheckpointError, DataError
from tinylm.fields import of_type, show
from tinylm.tokenizers.published.added import AddedToken
from tinylm.tokenizers.published.strict import Described

ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")

# Fields that change no ids: names, paths, how rows are padded, what the library builds around the
# tokenizer.
_NO_MEANING = set(
    """
    auto_map backend cache_dir chat_control_tokens chat_template
    clean_up_tokenization_spaces_for_bpe device_map files_loaded force_download from_slow
    full_tokenizer_file is_local local_files_only max_length max_len_single_sentence
    max_len_sentences_pair merges_file model_input_names model_type name_or_path pad_to_multiple_of
    pad_token_type_id padding padding_side processor_class proxies response_schema
    response_template return_special_tokens_mask revision sentencepiece_model_file sp_model_file
    special_tokens_map_file stride tokenizer_class tokenizer_file tokenizer_object tokenizer_type
    token transformers_version truncation truncation_side truncation_strategy trust_remote_code
    use_auth_token use_default_system_prompt use_fast verbose vocab_file spm_file _commit_hash
    _name_or_path max_target_length add_generation_prompt image_processor_type private subfolder
    unk_id vocab_size max_model_input_sizes pretrained_vocab_files_map add_special_tokens
    tokenizer_config_file device torch_dtype
    """.split()
)

# Fields that may change ids or text, accepted only with the values that do not; a missing field
# means the first of them.
_ONLY = {
    "errors": ("replace", None),
    "split_special_tokens": (False, None),
    "do_basic_tokenize": (True, None),
    "never_split": (None, []),
    "init_inputs": ([], None),
    "sp_model_kwargs": ({}, None),
    "split_by_punct": (False, None),
    "wordpieces_prefix": ("##", None),
    "fix_mistral_regex": (None, False),
    "mask_token_sent": (None,),
    "vocab_type": ("spm", None),
    "target_vocab_file": (None,),
    "separate_vocabs": (False, None),
    "fast_tokenizer_files": (None, ["tokenizer.json"]),
    "src_lang": (None,),
    "tgt_lang": (None,),
    "fuse_unk": (None,),
}


@dataclass
class Settings:
    """The content of the settings files.

    names   {"bos": token or None, ...} for the roles that are named
    added   list of AddedToken with ids, from added_tokens_decoder
    extra   other special tokens: list of AddedToken with a meaningless id, or str
    limit   most ids of a text, or None
    ids     {role: id} that are given beside the names
    flags   {field: value}, with which a tokenizer.json or a model file must agree
    """

    names: dict = field(default_factory=dict)
    added: list = field(default_factory=list)
    extra: list = field(default_factory=list)
    limit: int | None = None
    ids: dict = field(default_factory=dict)
    flags: dict = field(default_factory=dict)


# Fields that a tokenizer.json or a model file may contradict: see agree.py and families.py.
_FLAGS = {
    name: bool
    for name in (
        "add_bos_token",
        "add_eos_token",
        "add_prefix_space",
        "add_dummy_prefix",
        "clean_up_tokenization_spaces",
        "do_lower_case",
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
        "keep_accents",
        "legacy",
        "legacy_behaviour",
        "remove_space",
        "spaces_between_special_tokens",
        "strip_accents",
        "tokenize_chinese_chars",
        "trim_offsets",
        "use_regex",
    )
}
_FLAGS |= {"extra_ids": int, "offset": int}


def read_settings(value: dict[str, Any], where: str = "tokenizer_config.json") -> Settings:
    """The Settings of a JSON object.

    raises  CheckpointError naming a field and its value
    """
    try:
        return _read(value, where)
    except DataError as error:
        raise CheckpointError(str(error)) from error


def _read(value, where):
    given, found = Described(value, where), Settings()
    # Every field is taken out of `given` by one of these steps; `close` refuses what is left.
    for name in _NO_MEANING:
        given.raw(name)
    for name, values in _ONLY.items():
        if name in given:
            given.only(name, *values)
    for name, kind in _FLAGS.items():
        flag = given.take(name, kind | None, None)
        if flag is not None:
            found.flags[name] = flag
    found.limit = _limit(given)
    for role in ROLES:
        number = given.take(f"{role}_token_id", int | None, None)
        if number is not None:
            found.ids[role] = number
        if f"{role}_token" in given:
            found.names[role] = _token(given.raw(f"{role}_token"), f"{where}.{role}_token")
    decoder = given.take("added_tokens_decoder", dict | None, None) or {}
    for i, one in decoder.items():
        if not (i.isascii() and i.isdecimal()):
            raise DataError(f"{where}.added_tokens_decoder has the id {i!r}, which is no number")
        found.added.append(AddedToken.read(one, f"{where}.added_tokens_decoder.{i}", int(i)))
    found.extra = _extra(given)
    given.close()
    return found


def _limit(given):
    """model_max_length, of which a very large number (1e30) means that there is none."""
    limits = []
    for name in ("model_max_length", "max_len"):
        value = given.raw(name)
        # value != value: NaN, which json reads.
        if value is not None and (type(value) not in (int, float) or value != value or value < 1):
            raise given.wrong(name, value, "a number of tokens")
        if value is not None and value < 1e15:
            limits.append(int(value))
    if limits:
        return limits[0]
    return None


def _token(value, name):
    """A token written as a text, as an object with its content, or as null.

    returns  str, AddedToken with the meaningless id 0, or None
    """
    if value is None or of_type(value, str):
        return value or None
    if not isinstance(value, dict):
        raise DataError(
            f"{name} is {show(value)}; it must be a text, an object with its content, or null"
        )
    without_id = {field: one for field, one in value.items() if field != "id"}
    return AddedToken.read(without_id, name, 0, special=True)


def _extra(given):
    """Special tokens beyond the roles: in a list, an object, or fields such as image_token."""
    found = []
    for name in (
        "additional_special_tokens",
        "extra_special_tokens",
        "model_specific_special_tokens",
    ):
        value = given.raw(name)
        items = value or []
        if isinstance(value, dict):
            items = list(value.values())
        if not isinstance(items, list):
            raise given.wrong(name, value, "a list of tokens, an object of them, or null")
        found += [_token(one, f"{given.name}.{name}") for one in items]
    # What is left and named like a role. A list: `raw` takes fields out of `given.left`.
    for name in [name for name in given.left if name.endswith("_token")]:
        found.append(_token(given.raw(name), f"{given.name}.{name}"))
    return [token for token in found if token is not None]

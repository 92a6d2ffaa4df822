"""The tokenizer of a folder of published weights, whatever files it lies in.

    tokenizer.json                          all of it: pipeline.py
    tokenizer.model, spiece.model, ...      SentencePiece: sentencepiece.py, families.py
    vocab.json + merges.txt                 byte-level BPE; how text is split follows from the
                                            class that is named
    vocab.txt                               WordPiece as BERT applies it

beside tokenizer_config.json and special_tokens_map.json (settings.py), which name special tokens,
and config.json and generation_config.json, which give ids of the begin and the end of a text. The
first of the list that is there is read.
"""

from dataclasses import dataclass, field
from pathlib import Path

from tinylm.errors import CheckpointError, DataError
from tinylm.fields import of_type, show
from tinylm.files import read_object
from tinylm.tokenizers.base import Tokenizer
from tinylm.tokenizers.published.agree import agreed
from tinylm.tokenizers.published.families import from_model
from tinylm.tokenizers.published.pipeline import PipelineTokenizer
from tinylm.tokenizers.published.sentencepiece import FILES
from tinylm.tokenizers.published.settings import ROLES, read_settings
from tinylm.tokenizers.published.vocabularies import from_merges, from_pieces


@dataclass(frozen=True)
class FolderTokenizer:
    """What the files of a folder say of its tokens.

    tokenizer  Tokenizer, or None where the folder has no files of one
    special    {"bos": id, "eos": id, ...}, as far as they are named
    begin      ids that belong before every text
    ends       ids that end a generated text
    limit      most ids of a text, or None
    """

    tokenizer: Tokenizer | None
    special: dict = field(default_factory=dict)
    begin: tuple = ()
    ends: tuple = ()
    limit: int | None = None


def read_tokenizer(folder, config=None):
    """The tokenizer of a folder.

    folder   path
    config   config.json as a dict; None: it is read where it is there
    returns  FolderTokenizer
    raises   CheckpointError naming the file, field and value that is damaged or not read here
    """
    folder = Path(folder)
    if config is None:
        config = _object(folder / "config.json")
    try:
        settings = _settings(folder)
        tokenizer = _tokenizer(folder, settings, config)
        special = _special(tokenizer, settings, config)
        ends = _ends(folder, config, special)
    except DataError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    return FolderTokenizer(tokenizer, special, begin_of(tokenizer), ends, settings.limit)


def begin_of(tokenizer):
    """The ids that a tokenizer's frame puts before a text; none without a frame."""
    frame = getattr(tokenizer, "frame", None)
    if frame is None:
        return ()
    items = [one for one, _ in frame[0]]
    return tuple(items[: items.index("A")])


def _object(path):
    """The JSON object of a file; {} where there is none."""
    if path.is_file():
        return read_object(path)
    return {}


def _settings(folder):
    """Both files of settings; what the first does not name, the second may, which older versions
    wrote alone.
    """
    settings = read_settings(_object(folder / "tokenizer_config.json"))
    older = read_settings(_object(folder / "special_tokens_map.json"), "special_tokens_map.json")
    if not settings.added:
        settings.names = settings.names | {
            role: one for role, one in older.names.items() if one is not None
        }
        settings.extra = settings.extra + [one for one in older.extra if one not in settings.extra]
    return settings


def _tokenizer(folder, settings, config):
    if (folder / "tokenizer.json").is_file():
        described = _object(folder / "tokenizer.json")
        if described.get("kind") is not None:  # tinylm's own, of a run
            from tinylm.tokenizers import from_dict

            return from_dict(described)
        return PipelineTokenizer(*agreed(described, settings, _added(folder)))
    name = _object(folder / "tokenizer_config.json").get("tokenizer_class")
    model = next((folder / file for file in FILES if (folder / file).is_file()), None)
    if model is not None:
        return from_model(model, settings, name, config.get("model_type"), _added(folder))
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        pair = folder / "vocab.json", folder / "merges.txt"
        described = from_merges(*pair, settings, name, config.get("model_type"))
        return PipelineTokenizer(*agreed(described, settings, _added(folder), built=True))
    if (folder / "vocab.txt").is_file():
        described = from_pieces(folder / "vocab.txt", settings, name, config.get("model_type"))
        return PipelineTokenizer(*agreed(described, settings, _added(folder), built=True))
    return None


def _added(folder):
    """added_tokens.json of older versions: {token: id}."""
    found = _object(folder / "added_tokens.json")
    for token, i in found.items():
        if type(i) is not int or i < 0:
            raise DataError(f"added_tokens.json.{token} is {show(i)}; it must be an id")
    return found


def _special(tokenizer, settings, config):
    """{role: id}: what the settings name, and where they name nothing, what config.json numbers."""
    found = {}
    for role in ROLES:
        name = settings.names.get(role)
        name = getattr(name, "content", name)
        if name is not None and tokenizer is not None and name in tokenizer.special:
            found[role] = tokenizer.special[name]
            if settings.ids.get(role, found[role]) != found[role]:
                raise DataError(
                    f"tokenizer_config.json.{role}_token_id is {settings.ids[role]}, and "
                    f"{name!r}, its {role}_token, has the id {found[role]}"
                )
        elif tokenizer is None or role not in settings.names:
            ids = _ids(config.get(f"{role}_token_id"), f"config.json.{role}_token_id")
            found |= {role: ids[0]} if ids else {}
    return found


def _ids(value, name):
    """One id, a list of ids, or null, as a list."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(of_type(one, int) for one in values):
        raise DataError(f"{name} is {show(value)}; it must be an id, a list of ids, or null")
    return [one for one in values if one >= 0]  # -1 is written for none


def _ends(folder, config, special):
    """The ids that end a text: generation_config.json, or else config.json, or else the
    tokenizer's.
    """
    generation = _object(folder / "generation_config.json")
    for where, values in (("generation_config.json", generation), ("config.json", config)):
        ids = _ids(values.get("eos_token_id"), f"{where}.eos_token_id")
        if ids:
            return tuple(ids)
    if "eos" in special:
        return (special["eos"],)
    return ()

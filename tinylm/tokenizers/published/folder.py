"""The tokenizer of a folder of published weights, whichever files it holds.

    tokenizer.json                          all of it: pipeline.py
    tokenizer.model, spiece.model, ...      SentencePiece: sentencepiece.py, families.py
    vocab.json + merges.txt                 byte-level BPE; the tokenizer's class decides how text
                                            is split
    vocab.txt                               WordPiece as BERT applies it

The first of these that exists is read. Beside it, tokenizer_config.json and special_tokens_map.json
(settings.py) name special tokens, and config.json and generation_config.json give the ids of the
beginning and the end of a text.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    """A folder's tokenizer and special ids.

    tokenizer  Tokenizer, or None where the folder has no files of one
    special    {"bos": id, "eos": id, ...} for the roles that are named
    begin      ids that belong before every text
    ends       ids that end a generated text
    limit      most ids of a text, or None
    """

    tokenizer: Tokenizer | None
    special: dict = field(default_factory=dict)
    begin: tuple = ()
    ends: tuple = ()
    limit: int | None = None


def read_tokenizer(folder: Path, config: dict[str, Any] | None = None) -> FolderTokenizer:
    """The tokenizer of a folder.

    folder   path
    config   config.json as a dict; None: it is read if the folder has one
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


def begin_of(tokenizer: Tokenizer | None) -> tuple[int, ...]:
    """The ids that a tokenizer's frame puts before a text; none without a frame."""
    frame = getattr(tokenizer, "frame", None)
    if frame is None:
        return ()
    items = [one for one, _ in frame[0]]  # ids and "A", which stands for the text
    return tuple(items[: items.index("A")])


def _object(path):
    """The JSON object of a file; {} if there is no such file."""
    if path.is_file():
        return read_object(path)
    return {}


def _settings(folder):
    """The Settings of both files. Older versions of the library wrote the second one alone."""
    settings = read_settings(_object(folder / "tokenizer_config.json"))
    older = read_settings(_object(folder / "special_tokens_map.json"), "special_tokens_map.json")
    # added_tokens_decoder is written by newer versions, whose second file only repeats.
    if not settings.added:
        settings.names = settings.names | {
            role: one for role, one in older.names.items() if one is not None
        }
        settings.extra = settings.extra + [one for one in older.extra if one not in settings.extra]
    return settings


def _tokenizer(folder, settings, config):
    """The tokenizer of the first kind of file that the folder has; None without any."""
    if (folder / "tokenizer.json").is_file():
        described = _object(folder / "tokenizer.json")
        if described.get("kind") is not None:  # tinylm's own, of a run
            from tinylm.tokenizers import from_dict

            return from_dict(described)
        return PipelineTokenizer(*agreed(described, settings, _added(folder)))
    # The other files leave open how text is split: the class of the tokenizer or else the type of
    # the model decides.
    name = _object(folder / "tokenizer_config.json").get("tokenizer_class")
    kind = config.get("model_type")
    model = next((folder / file for file in FILES if (folder / file).is_file()), None)
    if model is not None:
        return from_model(model, settings, name, kind, _added(folder))
    vocab, merges, pieces = (folder / file for file in ("vocab.json", "merges.txt", "vocab.txt"))
    if vocab.is_file() and merges.is_file():
        described = from_merges(vocab, merges, settings, name, kind)
    elif pieces.is_file():
        described = from_pieces(pieces, settings, name, kind)
    else:
        return None
    return PipelineTokenizer(*agreed(described, settings, _added(folder), built=True))


def _added(folder):
    """added_tokens.json of older versions: {token: id}."""
    found = _object(folder / "added_tokens.json")
    for token, i in found.items():
        if type(i) is not int or i < 0:
            raise DataError(f"added_tokens.json.{token} is {show(i)}; it must be an id")
    return found


def _special(tokenizer, settings, config):
    """{role: id} of the names in the settings; of a role without a name, the id in config.json."""
    found = {}
    for role in ROLES:
        name = settings.names.get(role)
        name = getattr(name, "content", name)  # str or AddedToken
        if name is not None and tokenizer is not None and name in tokenizer.special:
            found[role] = tokenizer.special[name]
            if settings.ids.get(role, found[role]) != found[role]:
                raise DataError(
                    f"tokenizer_config.json.{role}_token_id is {settings.ids[role]}, and "
                    f"{name!r}, its {role}_token, has the id {found[role]}"
                )
        elif tokenizer is None or role not in settings.names:
            ids = _ids(config.get(f"{role}_token_id"), f"config.json.{role}_token_id")
            if ids:
                found[role] = ids[0]
    return found


def _ids(value, name):
    """One id, a list of ids, or null, as a list."""
    values = value
    if value is None:
        values = []
    elif not isinstance(value, list):
        values = [value]
    if not all(of_type(one, int) for one in values):
        raise DataError(f"{name} is {show(value)}; it must be an id, a list of ids, or null")
    return [one for one in values if one >= 0]  # some files write -1 for none


def _ends(folder, config, special):
    """The ids that end a text: of generation_config.json, else config.json, else the tokenizer."""
    generation = _object(folder / "generation_config.json")
    for where, values in (("generation_config.json", generation), ("config.json", config)):
        ids = _ids(values.get("eos_token_id"), f"{where}.eos_token_id")
        if ids:
            return tuple(ids)
    if "eos" in special:
        return (special["eos"],)
    return ()

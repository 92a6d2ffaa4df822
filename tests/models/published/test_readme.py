"""The page of published files says what is read and refused: it is held to the registries."""

from pathlib import Path

import pytest

from tinylm.finetune.export.run import REFUSED
from tinylm.models import published
from tinylm.models.low_bit.blocks import FORMATS
from tinylm.models.published.chat.builtin import ROLES_TEMPLATE, TEMPLATES
from tinylm.models.published.formats.gguf import _NOT_READ
from tinylm.models.published.formats.mapped import DTYPES, UNREAD
from tinylm.models.published.layouts import DECODERS, ENCODERS, gguf
from tinylm.models.published.published_form import CLASSES
from tinylm.tokenizers.published.write import KINDS

README = Path(published.__file__).parent / "README.md"
if not README.is_file():
    pytest.skip("only the package is installed", allow_module_level=True)


def code(names):
    return ", ".join(f"`{name}`" for name in names)


ROWS = [
    ("decoders, by `model_type`", code(DECODERS), "other types; unknown fields"),
    (
        "encoders and encoder-decoders",
        code(ENCODERS),
        "untied heads, tensors with no place in the model",
    ),
    (
        "safetensors, one file or shards",
        code(DTYPES),
        f"{code(UNREAD)} and others (an error only when such a tensor is read)",
    ),
    (
        "GGUF, architectures and blocks",
        f"{code(gguf.KINDS)}; {code(FORMATS)}",
        f"other architectures, unknown settings; {code(_NOT_READ.values())} "
        "(an error only when such a tensor is read)",
    ),
    (
        "chat templates",
        f"{code([*TEMPLATES, ROLES_TEMPLATE.name])} as functions; any other with `tinylm[chat]`",
        "names, calls and loops that the sandbox does not allow",
    ),
    (
        "written by `tinylm export`: models",
        f"decoders of the types above; {'; '.join(CLASSES)}",
        f"objectives {code(REFUSED)}; parts that no published class has, as rotary encoders (train "
        "them with `--positions learned`)",
    ),
    (
        "written by `tinylm export`: tokenizers",
        code(kind.kind for kind in KINDS),
        "other kinds, and special tokens whose names would be read as text",
    ),
]
TABLE = [
    "| weights | what is read | what is refused |",
    "|---|---|---|",
    *(f"| {what} | {read} | {refused} |" for what, read, refused in ROWS),
]


@pytest.mark.parametrize("line", TABLE)
def test_every_line_of_the_table_is_what_the_registries_say(line):
    there = [one for one in README.read_text().splitlines() if one.startswith(line[:20])]
    assert line in there

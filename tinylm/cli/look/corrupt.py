"""`tinylm corrupt "text" --objective NAME`: the inputs, targets and attention mask that an
objective makes of a text.

The text is split into words, not into the tokens of a model, to keep the output readable. In the
mask a row is a query and a column a key. A pair of translations is written with | between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinylm.cli.options import parse
from tinylm.cli.terminal import visible
from tinylm.errors import ConfigError
from tinylm.settings import setting


@dataclass
class CorruptConfig:
    """Settings of `tinylm corrupt`."""

    objective: str = setting(
        "masked", "name of the objective, or a synonym such as mlm or t5; --list lists them"
    )
    seed: int = setting(0, "seed of the random choices")
    list: bool = setting(False, "list the objectives, one a line")
    family: str = setting(
        "", "with --list: only objectives of this family, such as masked or denoising"
    )


def main(argv: Sequence) -> None:
    """Show what an objective makes of a text."""
    from tinylm.pretrain.example import PAIR, TEXT

    config, words = parse(
        argv,
        CorruptConfig,
        positionals=("[TEXT]",),
        verb="corrupt",
        about=__doc__,
        examples=(
            "tinylm corrupt --list",
            'tinylm corrupt --objective sentinels "The early bird catches the worm ."',
            "tinylm corrupt --objective permuted --seed 3",
            f'tinylm corrupt --objective translation "{PAIR}"',
        ),
    )
    if config.list:
        print("\n".join(listing(config.family)))
        return
    from tinylm.pretrain.synonyms import canonical

    text = TEXT
    if words:
        text = words[0]
    elif canonical(config.objective) == "translation":
        text = PAIR
    print("\n".join(shown(config.objective, text, config.seed)))


def listing(family: str = "") -> list[str]:
    """What --list prints, an objective a line: name, what is learnt, synonyms.

    raises   ConfigError if no family has these letters in its name
    """
    from tinylm.pretrain.objectives import OBJECTIVES, TASK_FAMILIES
    from tinylm.pretrain.synonyms import SYNONYMS

    lines = []
    for name, kind in OBJECTIVES.items():
        if family.lower() in kind.family.lower():
            also = ""
            if name in SYNONYMS:
                also = f"  (also {', '.join(SYNONYMS[name])})"
            lines.append(f"{name:<21} {kind.about}{also}")
    if not lines:
        raise ConfigError(f"--family {family!r} is none of {', '.join(TASK_FAMILIES)}")
    return lines


def shown(name: str, text: str, seed: int = 0) -> list[str]:
    """What `tinylm corrupt` prints: the rows of the batch, word under word, and the attention
    patterns.

    returns  list of lines
    raises   DataError if the text is too short, ConfigError for an unknown objective
    """
    from tinylm.pretrain.example import example
    from tinylm.pretrain.visible import picture

    made = example(name, text, seed)
    kind = made.recipe
    name = kind.name  # a synonym may have been given
    lines = [
        f"{name}: {kind.about}",
        f"{kind.family}; trains {', '.join(kind.trains)}; {_source(kind.section)}",
        "",
        *_aligned(made.rows),
    ]
    if name == "contrastive":
        lines += [
            "",
            "target: the same sentence read a second time, under other dropout, among all "
            "sentences of the batch",
        ]
    elif any(row[0] == "mask" for row in made.rows):
        lines += ["", "mask: the loss counts what is marked ■"]
    for which, mask, queries, keys in made.patterns:
        lines += [
            "",
            f"{which}: a row sees the columns marked ■",
            *picture(mask, queries, keys),
        ]
    return lines


def _source(section):
    """`book section 1.2.2`; a paper stays as it is."""
    if section[0].isdigit():
        return f"book section {section}"
    return section


def _aligned(rows):
    """Rows of words, one under the other; controls are escapes, so that columns stay."""
    rows = [(title, list(map(visible, row))) for title, row in rows]
    wide = [
        max(len(row[i]) for _, row in rows if i < len(row))
        for i in range(max(len(row) for _, row in rows))
    ]
    name = max(len(name) for name, _ in rows)
    return [
        f"{title:<{name}}  "
        + " ".join(f"{word:<{width}}" for word, width in zip(row, wide)).rstrip()
        for title, row in rows
    ]

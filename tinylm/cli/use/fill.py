"""`tinylm fill RUN "To be or [MASK]"`: what a model expects at the hidden places of a text, with
probabilities.

RUN is a run of `tinylm train` with an objective that hides tokens, or published weights with a head
that predicts tokens. In a run of masked language modeling (masked, whole-word, spans, bert,
replaced, permuted, ..) each [MASK] is one token, and so it is for bert-style, mass and
token-masking. Where a model was trained to write what is missing (sentinels, ul2, text-infilling,
bart, fim), a place may hold any number of tokens, and the most probable texts are shown. <mask> and
T5's <extra_id_0>, [X], [Y] are understood too; [SEP] divides a pair of texts. Tokens are shown in
quotes: a space belongs to the token behind it. The text "-" is read from the standard input.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinylm.cli.options import parse
from tinylm.cli.terminal import visible
from tinylm.reading import standard_input
from tinylm.settings import at_least, between, setting

EXAMPLES = (
    'tinylm fill RUN "The with [MASK] is used"',
    'tinylm fill RUN "To be or [MASK] to [MASK]" --top 3',
)


@dataclass
class FillConfig:
    """Settings of `tinylm fill`."""

    top: int = setting(5, "candidates shown of each place", between(1, 100))
    max_tokens: int = setting(
        20, "where a place may hold several tokens: at most so many", at_least(1)
    )
    json: bool = setting(False, "print one JSON object instead of text")
    device: str = setting("cpu", "cpu or gpu")


def main(argv: Sequence) -> None:
    """Print the candidates for every hidden place, and the text with the best of them."""
    from tinylm.prompt.protocol.filler import open_filler

    config, (name, text) = parse(
        argv,
        FillConfig,
        positionals=("RUN", "TEXT"),
        verb="fill",
        about=__doc__,
        examples=EXAMPLES,
    )
    if text == "-":
        text = standard_input().rstrip("\n")
    found = open_filler(name, config.device)(text, config.top, config.max_tokens)
    if config.json:
        print(json.dumps(as_json(found), ensure_ascii=False))
        return
    print("\n".join(lines(found)))


def lines(found: Any) -> list[str]:
    """A Filled as lines of text: candidates, the text with the best, how the text was read."""
    shown: list[str] = []
    for number, candidates in enumerate(found.places, 1):
        shown += ["", f"place {number}"]
        width = max(len(_quoted(one.texts)) for one in candidates)
        shown += [f"  {_quoted(one.texts):<{width}} {_percent(one)}" for one in candidates]
    if found.whole:
        shown.append("")
        quoted = [_quoted(one.texts) for one in found.whole]
        width = min(40, max(map(len, quoted)))  # a longer one is followed by its figure at once
        shown += [f"  {text:<{width}} {_percent(one)}" for text, one in zip(quoted, found.whole)]
    shown += ["", visible(found.texts[0])]
    if found.notes:
        shown += ["", *(f"({note})" for note in found.notes)]
    return shown[1:]  # without the empty line before the first part


def _quoted(texts):
    """Texts in quotes, each on one line, their controls as escapes."""
    return "  ".join(f"'{visible(text)}'" for text in texts).replace("\n", "\\n")


def _percent(candidate):
    return f"{100 * candidate.probability:7.3g} %"


def as_json(found: Any) -> dict[str, Any]:
    """A Filled as plain values."""
    return {
        "places": [
            [{"text": one.texts[0], "probability": one.probability} for one in candidates]
            for candidates in found.places
        ],
        "whole": [
            {"texts": list(one.texts), "probability": one.probability} for one in found.whole
        ],
        "texts": list(found.texts),
        "notes": list(found.notes),
    }

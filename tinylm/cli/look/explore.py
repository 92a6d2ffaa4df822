"""`tinylm explore RUN`: pictures of your own run, as one HTML file that needs no network.

RUN is what `tinylm train` wrote, or published weights such as smollm2; without one, the figures
that need no model are made. Open the page in any browser: it holds all of its data and asks nobody
for anything.
"""

import dataclasses
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinylm.cli.options import parse, report
from tinylm.cli.terminal import visible
from tinylm.errors import ConfigError, TinylmError
from tinylm.files import WholeFile
from tinylm.settings import between, setting

if TYPE_CHECKING:
    from tinylm.explore.at_hand import AtHand
    from tinylm.explore.page import Figure


# name: (what one sees, the module of tinylm.explore whose figures(at_hand) makes it), in the order
# of the page.
KINDS = {
    "attention": ("attention of every layer and head, rollout", "attention"),
    "next_token": ("the next token, sampling filters, the logit lens", "next_token"),
    "positions": ("position encodings side by side", "input.positions"),
    "corruptions": ("a sentence under every objective", "input.corruptions"),
    "merges": ("a word, merge by merge", "input.merges"),
    "beam": ("a beam search with what it pruned, and speculative decoding", "decoding.beams"),
    "cache": ("caches of keys and values, filling and evicting", "decoding.cache"),
    "runs": ("losses, norms and rates of runs, and what their checkpoints say", "training.runs"),
    "expression": ("gradients of an expression, step by step", "expression"),
    "proxy": ("rewards of alignment, and gold against proxy", "training.rewards"),
    "pipeline": ("pipelines and all-reduces on simulated machines", "training.timelines"),
}
LIBRARY = ("expression", "proxy", "pipeline", "rings")  # figures that are the same for every run


@dataclass
class ExploreConfig:
    """Settings of `tinylm explore`."""

    prompt: str = setting("", "the text that the model reads; none: a few words of the run's own")
    out: str = setting("page.html", "the page to write")
    figures: tuple[str, ...] = setting(
        (),
        f"which figures, of {', '.join(KINDS)}; none: all that this run allows",
        several=True,
    )
    expression: str = setting("", 'whose gradients are shown, such as "sum(tanh(x @ w + b) ** 2)"')
    array: tuple[str, ...] = setting(
        (), 'values of an array of the expression, "x=[[1, 2], [3, 4]]"; others are drawn'
    )
    layers: tuple[int, ...] = setting(
        (), "layers of a large model to show, from 0; none: as many as fit"
    )
    seed: int = setting(0, "seed of all that is drawn")
    serve: bool = setting(False, "answer prompts live in the browser, on this machine alone")
    port: int = setting(0, "with --serve: the port; 0: a free one", between(0, 65535))
    compare: tuple[str, ...] = setting(
        (), "further runs, whose curves are drawn beside this one's", several=True
    )


def main(argv: Sequence[str]) -> int | None:
    """Write the page."""
    config, words = parse(
        argv,
        ExploreConfig,
        positionals=("[RUN]",),
        verb="explore",
        about=__doc__,
        examples=(
            'tinylm explore RUN --prompt "The with statement" --out page.html',
            'tinylm explore smollm2 --prompt "The capital of Japan is"',
            'tinylm explore --expression "sum(tanh(x @ w + b) ** 2)"',
            "tinylm explore RUN --serve",
        ),
    )
    from tinylm.explore import page

    if config.expression and not (words or config.figures):
        config.figures = ("expression",)  # who names one wants to see that alone
    folder = Path(config.out).parent
    if not folder.is_dir():
        raise ConfigError(f"--out {config.out}: there is no folder {str(folder)!r}; make it first")
    at_hand = at_hand_of(config, words)
    if config.serve:
        return serve_pages(at_hand, config)
    figures, left_out = made(at_hand, config.figures)
    for name, reason in left_out.items():
        print(f"left out {name}: {visible(reason)}", file=sys.stderr)
    if not figures:
        raise ConfigError("no figure could be made; --help lists what they need")
    html = page(title_of(at_hand), figures, intro_of(at_hand), library=library_of(at_hand))
    text = html.encode("utf-8")
    wrote = "replaced" if os.path.exists(config.out) else "wrote"
    with WholeFile(config.out) as file:
        file.write(text)
    titles = ", ".join(dict.fromkeys(figure.kind for figure in figures))
    where = visible(config.out)
    print(f"{wrote} {where}: {len(text) / 1e6:.2f} MB, {titles}. Open it in a browser.")


def serve_pages(at_hand: "AtHand", config: ExploreConfig) -> None:
    """Answer prompts until Ctrl-C."""
    from tinylm.explore import page
    from tinylm.explore.serve import form, serve

    if at_hand.name:
        _ = at_hand.opened  # what is no model is told now, and not in the browser

    def make(fields):
        asked = dataclasses.replace(at_hand, **fields)
        error, figures = "", []
        try:
            figures, _ = made(asked, config.figures)
        except TinylmError as reason:  # such as an expression that cannot be read
            error = str(reason)
        shown = {"prompt": asked.text, "expression": asked.expression}
        above = form(shown, error)
        return page(title_of(asked), figures, intro_of(asked), above, library_of(asked))

    serve(make, config.port, report)


def at_hand_of(config: ExploreConfig, words: Sequence[str]) -> "AtHand":
    """The AtHand of the settings and the plain words."""
    from tinylm.explore import AtHand
    from tinylm.prompt.protocol.opened import check_there

    for name in [*words[:1], *config.compare]:
        check_there(name)
    return AtHand(
        name=words[0] if words else "",
        prompt=config.prompt,
        expression=config.expression,
        arrays=config.array,
        seed=config.seed,
        layers=config.layers,
        compare=config.compare,
    )


def made(at_hand: "AtHand", wanted: tuple[str, ...] = ()) -> "tuple[list[Figure], dict]":
    """The figures, and why others are left out.

    at_hand  AtHand
    wanted   names of KINDS; () for all that at_hand allows
    returns  (list of Figure, {name: reason})
    raises   ConfigError for an unknown name; what a figure raises if it was wanted by name
    """
    for name in wanted:
        if name not in KINDS:
            hint = f"choose of {', '.join(KINDS)}"
            if Path(name).exists():
                hint = "it is taken for a figure; name the run before --figures"
            raise ConfigError(f"no figure {name!r}: {hint}")
    figures, left_out = [], {}
    for name in wanted or KINDS:
        module = importlib.import_module(f"tinylm.explore.{KINDS[name][1]}")
        try:
            figures += module.figures(at_hand)
        except TinylmError as error:
            from tinylm.explore import Unsuitable

            if wanted or not isinstance(error, Unsuitable):
                raise
            left_out[name] = str(error)
    return figures, left_out


def library_of(at_hand: "AtHand") -> tuple[str, ...]:
    """Kinds of LIBRARY; an expression that the reader typed is the reader's."""
    return tuple(k for k in LIBRARY if k != "expression" or not at_hand.expression)


def title_of(at_hand: "AtHand") -> str:
    """The heading of the page."""
    if at_hand.name:
        return f"Inside {Path(at_hand.name).resolve().name}"
    return "Inside the library"


def intro_of(at_hand: "AtHand") -> str:
    """The sentence below the heading."""
    if not at_hand.name:
        return "Made by the very code that the figures name."
    reads = at_hand.text.replace("`", "'")
    return (
        f"{described(at_hand)} What happens inside while it reads `{reads}`. "
        "Layers, heads and tokens are counted from 0, as in the code."
    )


def described(at_hand: "AtHand") -> str:
    """A sentence on the model."""
    opened = at_hand.opened
    parameters = sum(p.size for p in opened.model.parameters())
    sizes = getattr(opened.model, "config", None)
    words = [f"{type(opened.model).__name__} of {parameters:,} parameters"]
    if sizes is not None and hasattr(sizes, "n_layer"):
        words.append(f"{sizes.n_layer} layers, {sizes.n_head} heads, width {sizes.d_model}")
    if opened.config is not None:
        words.append(f"trained with objective {opened.config.objective}")
    return f"{', '.join(words)}."

"""`tinylm generate RUN "prompt" --best-of N --reward REWARD`: the best of N samples   (book section
4.4.5).

REWARD is a run of `tinylm align reward`, or FILE.py:function. All samples are drawn at once, each
with a seed of its own, and scored; the best is printed, and all rewards on the error stream. Read
next: align/inference/best_of_n.py.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from tinylm.errors import ConfigError

TEMPERATURE = 1.0  # equal samples leave nothing to choose


def best_of(
    opened: Any,
    messages: Sequence[dict[str, str]],
    start: Sequence[int],
    config: Any,
    sampling: dict[str, Any],
    given: Collection[str],
    report: Callable,
) -> str:
    """The best answer: str.

    opened    Opened
    messages  list of {"role", "content"}: what the reward reads before the answer
    start     list of ids that the model continues
    config    GenerateConfig
    sampling  dict of fields of Sampling;  given  those that the user has set
    report    function: line -> None
    """
    from tinylm.align.inference.best_of_n import best_candidate, sampled
    from tinylm.align.run.scorer import open_scorer

    if config.beams > 1:
        raise ConfigError("--best-of chooses among samples, and --beams draws none: leave out one")
    score = open_scorer(config.reward, config.device)
    if "temperature" not in given:
        sampling = sampling | {"temperature": TEMPERATURE}
    if not sampling["temperature"]:
        raise ConfigError(
            "--best-of: at temperature 0 all samples are the same: choose a higher one"
        )
    candidates = sampled(
        opened.lm,
        start,
        config.best_of,
        _room(opened.lm.context, len(start), config.max_tokens),
        seed=config.seed,
        eos=opened.ends,
        **sampling,
    )
    texts = [_text(opened, one.tokens) for one in candidates]
    best = best_candidate(candidates, score(messages, texts))
    order = sorted(range(len(texts)), key=lambda i: -best.rewards[i])
    report(
        f"rewards of {len(texts)} samples: {', '.join(f'{best.rewards[i]:.3g}' for i in order)}; "
        f"their mean is {best.rewards.mean():.3g}"
    )
    return _text(opened, best.tokens)


def _room(context, read, wanted):
    """The most tokens of a sample: it is scored with its prompt in one context, which cannot slide.

    raises  ConfigError for a prompt that leaves no room
    """
    if context is None:
        return wanted
    if read >= context:
        raise ConfigError(
            f"--best-of: the prompt has {read} tokens and the model reads {context}: shorten it"
        )
    return min(wanted, context - read)


def _text(opened, tokens):
    """Tokens as text, without the mark that ends them."""
    tokens = list(tokens)
    if tokens and tokens[-1] in opened.ends:
        tokens.pop()
    return opened.tokenizer.decode(tokens).strip()

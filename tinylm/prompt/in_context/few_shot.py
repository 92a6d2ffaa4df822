"""Zero-, one- and few-shot prompts: a task, demonstrations of it, and a question   (book section
3.1.2; Brown et al. 2020).

    x = (instruction, (x_1, y_1), .., (x_k, y_k), x_query)      y = argmax over y of Pr(y | x)

No weight changes: what the model learns about the task, it reads. A prompt that is too long loses
demonstrations from its beginning, never the instruction or the question (fitted.py). Read next:
selection.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.answer import Answer
from tinylm.prompt.in_context.fitted import Fitted, fitted
from tinylm.prompt.template.fields import read_reply, render_fields, reply_stops, stop_strings


def answer_of(demonstration: Item) -> str:
    """The answer of an Item that is shown as an example. DataError if it has none."""
    if demonstration.answer is None:
        raise DataError(f"a demonstration needs an answer: {demonstration.question!r:.60} has none")
    return demonstration.answer


@dataclass(frozen=True)
class FewShotPrompt:
    """How a task, its demonstrations and a question become one text.

    instruction        description of the task
    question_name      name of the question's field, "Q" for "Q: ..."; "": the question alone
    answer_name        name of the answer's field, with which the prompt ends: "A:"
    context_name       name of the field of an item's passage, if it has one
    between            text between the fields of one item
    separator          text between demonstrations
    system             system information, before everything else
    demo_repeats_task  True: the instruction stands in every demonstration and before the question,
                       as in the book; False: once, at the beginning
    labels             True: blocks begin with SYSTEM, DEMO1, DEMO2, .., USER
    conclusion         the answer after a rationale; {} is the answer
    raises             ConfigError if `between` or `separator` is empty

    Names and `between` decide the form: question_name="", answer_name="", between=" → " and
    separator="\\n" give bare lines "source → target".
    """

    instruction: str = ""
    question_name: str = "Q"
    answer_name: str = "A"
    context_name: str = "Context"
    between: str = "\n"
    separator: str = "\n\n"
    system: str = ""
    demo_repeats_task: bool = False
    labels: bool = False
    conclusion: str = "The answer is {}."

    def __post_init__(self) -> None:
        for name in ("between", "separator"):
            if not getattr(self, name):
                raise ConfigError(f"FewShotPrompt: {name} is empty: nothing would end a field")

    # One item.

    def _fields(self, item, answer):
        """The fields of an item; without an answer they end where the model writes."""
        return self._write(self._pairs(item, answer))

    def _pairs(self, item, answer):
        """The (name, content) of the fields, in order."""
        pairs = [(self.question_name, item.question), (self.answer_name, answer)]
        if item.context:
            pairs.insert(0, (self.context_name, item.context))
        return pairs

    def _write(self, pairs):
        """The text of fields, of which the last may be open."""
        if self._in_lines:
            return render_fields(pairs)
        text = self.between.join(_field(name, content) for name, content in pairs)
        if pairs[-1][1] is None:
            return text.rstrip()  # the space before an answer belongs to the answer
        return text

    @property
    def _in_lines(self):
        """True if every field is a line "name: content"."""
        return self.between == "\n" and bool(self.question_name and self.answer_name)

    @property
    def _names(self):
        names = (self.context_name, self.question_name, self.answer_name)
        return tuple(name for name in names if name)

    def query(self, item: Item) -> str:
        """The fields of a question, up to where its answer begins: "Q: ...\\nA:"."""
        return self._fields(item, None)

    def demonstration(self, item: Item, rationale: bool = False) -> str:
        """The fields of an item with its answer.

        rationale  put the item's worked solution before the answer
        raises     DataError for an item without an answer, or without the rationale that is needed
        """
        answer = answer_of(item)
        if not rationale:
            return self._fields(item, answer)
        if not item.rationale:
            raise DataError(f"the demonstration {item.question!r:.60} has no rationale")
        return self._fields(item, f"{item.rationale} {self.conclusion.format(item.answer)}")

    def continuation(self, item: Item, answer: str) -> str:
        """What follows query(item) if this is the answer, with the space it begins with: " yes"."""
        return self._fields(item, answer)[len(self.query(item)) :]

    # The whole prompt.

    def prompt(
        self, item: Item, demonstrations: Sequence[Item] = (), rationale: bool = False
    ) -> str:
        """The prompt for a question after demonstrations: str.

        item            Item; its own answer is not used
        demonstrations  Items with answers, in their order in the prompt
        rationale       as in demonstration()
        """
        shown = [self.demonstration(demo, rationale) for demo in demonstrations]
        names = [f"DEMO{i + 1}" for i in range(len(shown))]
        if len(shown) == 1:
            names = ["DEMO"]  # the book numbers them from two on
        head, task = self._head()
        blocks = []
        if head:
            blocks.append(("SYSTEM", head))
        for name, text in zip([*names, "USER"], [*shown, self.query(item)]):
            blocks.append((name, _lines(task, text)))
        if self.labels:
            return self.separator.join(f"{name} {text}" for name, text in blocks)
        return self.separator.join(text for _, text in blocks)

    def messages(self, item: Item, demonstrations: Sequence[Item] = ()) -> list[dict[str, str]]:
        """The same for a chat: demonstrations are turns of the user and the assistant.

        returns  list of {"role", "content"}; the last is the user's
        """
        head, task = self._head()
        turns = []
        if head:
            turns.append({"role": "system", "content": head})
        for demo in demonstrations:
            self.demonstration(demo)  # raises without an answer
            turns += [self._turn(demo, task), {"role": "assistant", "content": demo.answer}]
        return [*turns, self._turn(item, task)]

    def _turn(self, item, task):
        """A user's turn: the fields of an item without that of the answer."""
        text = self.query(item).removesuffix(_field(self.answer_name, None)).rstrip()
        return {"role": "user", "content": _lines(task, text)}

    def _head(self):
        """(text before all demonstrations, text at the beginning of each)."""
        if self.demo_repeats_task:
            return self.system, self.instruction
        return _lines(self.system, self.instruction), ""

    # Length, and the end of an answer.

    def fit(
        self,
        item: Item,
        demonstrations: Sequence[Item],
        count: Callable,
        budget: int | None,
        write: Callable | None = None,
    ) -> Fitted:
        """A prompt of at most `budget` tokens; demonstrations are dropped from the first on.

        Order them from the least to the most important: the one nearest to the
        question is dropped last.

        count    function from a prompt to its number of tokens: `length` of a TextLM
        budget   an integer, or None: no limit
        write    function (item, demonstrations) to the prompt; None: self.prompt
        returns  Fitted
        raises   DataError if instruction and question alone are too long
        """
        write = write or self.prompt
        return fitted(lambda kept: write(item, kept), demonstrations, count, budget)

    @property
    def stop(self) -> tuple[str, ...]:
        """The strings that end an answer: the separator, or the next field or block."""
        if self.separator == "\n":
            return ("\n",)  # every line ends an answer, whatever the next one begins with
        blocks = ()
        if self.labels:
            blocks = ("\nDEMO", "\nUSER")
        if self._in_lines:
            return (self.separator, *stop_strings(self._names), *blocks)
        return (self.separator, *blocks)

    def stop_for(self, lm: Any, demonstrations: Sequence[Item] = ()) -> tuple[str, ...]:
        """`stop` as it is for a model's reply after these demonstrations: see reply_stops."""
        return reply_stops(lm, self.stop, demonstrations)

    def read(self, reply: str, stop: str | Sequence[str] | None = None) -> str:
        """The answer in a reply: up to the first stop string, without the answer's field name.

        stop     the stop strings; None: self.stop
        returns  str, or None if nothing is left
        """
        text = reply.strip()
        if stop is None:
            stop = self.stop
        ends = [text.find(string) for string in stop if string in text]
        text = text[: min(ends, default=None)].strip()
        if self._in_lines:
            text = read_reply(text, self.answer_name, self._names)
        return text or None


def _lines(*texts):
    """The texts that are not empty, each on lines of its own."""
    return "\n".join(filter(None, texts))


def _field(name, content):
    """ "name: content", or up to where the content begins."""
    if not name:
        return content or ""
    if content is None:
        return f"{name}:"
    return f"{name}: {content}"


def few_shot(
    lm: Any,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: str | FewShotPrompt | None = None,
    turns: bool = False,
    normalization: str = "sum",
    budget: int | None = None,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """Answer a question after demonstrations   (book section 3.1.2)

    An item with options gets the most probable of them; another the text up to the stop string.

    lm              TextLM
    prompt          FewShotPrompt; None: "Q: .. A: .." without instruction
    turns           True: demonstrations are earlier turns of a chat; needs a chat model
    normalization   of the options' scores, as in Scores.by
    budget          most tokens of the prompt; None: the model's context without the answer
    returns         Answer; details: "kept" and "dropped" demonstrations, "finish" of a reply or
                    "scores" of the options
    """
    prompt = prompt or FewShotPrompt()
    endings = [prompt.continuation(item, option) for option in item.options]
    if budget is None and lm.context is not None:
        answer = max([lm.count(ending) for ending in endings] or [max_tokens])
        budget = lm.context - answer
        # Options are those of one item, whose prompt is then too long.
        if budget < 1 and not endings:
            raise ConfigError(
                f"few_shot: an answer of {answer} tokens leaves no room for a prompt in the "
                f"model's context of {lm.context}: lower max_tokens"
            )
    write = prompt.prompt
    if turns:
        write = prompt.messages
    found = prompt.fit(item, demonstrations, lm.length, budget, write)
    details = found.details
    if not item.options:
        stop = prompt.stop_for(lm, found.kept)
        reply = lm.complete(found.text, max_tokens=max_tokens, stop=stop, seed=seed)
        value = lm.parsed("answer", prompt.read(reply.text, stop))
        return Answer(value, reply.text, {**details, "finish": reply.finish})
    unconditional = None
    if normalization == "unconditional":  # the answer's field without any question before it
        unconditional = _field(prompt.answer_name, None)
    scores = lm.score(found.text, endings, unconditional=unconditional)
    best = scores.best(normalization)
    value = lm.parsed("answer", item.options[best])
    return Answer(value, endings[best], {**details, "scores": scores})


def zero_shot(
    lm: Any,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: str | FewShotPrompt | None = None,
    normalization: str = "sum",
    budget: int | None = None,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """Answer a question without any demonstration; those that are given are not used.

    The other arguments are those of few_shot.
    """
    return few_shot(
        lm,
        item,
        prompt=prompt,
        normalization=normalization,
        budget=budget,
        seed=seed,
        max_tokens=max_tokens,
    )

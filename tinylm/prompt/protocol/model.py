"""A language model with its tokenizer, behind the text protocol.

Every prompt of a batch gets what it would get alone, and what prompts have in common is read once:
the prefix of all (prefix_store.py), and a prompt for all of its continuations. Read next:
score_rows.py, scripted.py; ../answer.py.
"""

import codecs
import copy
from typing import Any

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.finetune.peft.prompt_cache import PrefixedLM
from tinylm.generate.loop import generate_rows, row_seeds
from tinylm.generate.protocol.language_model import ModelLM, as_language_model
from tinylm.models.published.chat.builtin import ChatTemplate
from tinylm.prompt.protocol.completion import Completion, Scores
from tinylm.prompt.protocol.opened import Opened, open_model
from tinylm.prompt.protocol.prefix_store import LEAST, ContinuedLM, shared_length
from tinylm.prompt.protocol.reader import Reader
from tinylm.prompt.protocol.score_rows import score_rows
from tinylm.prompt.protocol.seam import Seam, prompt_ids, seam, split_space
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.protocol.weights import weights_hash
from tinylm.tokenizers.base import Tokenizer

CACHE_BYTES = 1 << 29  # of keys and values of a batch: 512 MiB


class TextModel(TextLM):
    """A TextLM of a real model.

    opened      Opened: language model, tokenizer, chat template, ids that begin and end a text
    chat        True: a prompt is a user's turn of the chat template, and the reply the assistant's;
                False: the model continues the text; None: True where the model has a template
    system      the system message; None: the template's own
    batch_size  most prompts that are read at a time

    A model opened with bits=8 or 4 completes prompts one by one with its quantized weights, which
    read a single token; inputs of several tokens, so most of a prompt and all that is scored, are
    read with all bits (generate/fast/direct.py).
    """

    def __init__(
        self,
        opened: Opened,
        chat: bool | None = None,
        system: str | None = None,
        batch_size: int = 16,
    ) -> None:
        super().__init__()
        if chat is None:
            chat = opened.template is not None
        if chat and opened.template is None:
            raise ConfigError(
                "TextModel: this model has no chat template, so it continues texts: chat=False"
            )
        if system is not None and not chat:
            raise ConfigError("TextModel: a system message needs chat=True")
        if batch_size < 1:
            raise ConfigError(f"TextModel: batch_size {batch_size} must be 1 or more")
        self.opened, self.chat, self.system = opened, chat, system
        self.batch_size = batch_size
        self.tokenizer, self.context = opened.tokenizer, opened.lm.context
        self._reader = Reader(opened.lm)
        self._lm, self._store = self._reader.lm, self._reader.store

    def __repr__(self) -> str:
        model = self.model
        size = ""
        if hasattr(model, "count_parameters"):
            size = f" of {model.count_parameters():,} parameters"
        tokens = f"{type(self.tokenizer).__name__}, context {self.context}"
        return f"TextModel({type(model).__name__}{size}, {tokens}, chat={self.chat})"

    @classmethod
    def open(
        cls, name: str, device: str = "cpu", bits: int | None = None, **settings: Any
    ) -> "TextModel":
        """The model of a run of `tinylm train` or `tinylm finetune`, or of published weights.

        name      path of a run, or a name, file or folder of weights, such as "smollm2"
        device    to compute on
        bits      8 or 4: of the weights that complete prompts; scores are those of all bits
        settings  chat, system, batch_size
        """
        return cls(open_model(name, device, bits), **settings)

    @classmethod
    def of(
        cls,
        model: Any,
        tokenizer: Tokenizer,
        begin: tuple[int, ...] = (),
        ends: tuple[int, ...] = (),
        start: int | None = None,
        template: ChatTemplate | None = None,
        **settings: Any,
    ) -> "TextModel":
        """A model in memory.

        model      a model of tinylm.models, or a language model (generate/protocol)
        tokenizer  has encode and token_bytes
        begin      ids before every text;  ends  ids that end a reply
        start      id that stands for a prompt without text
        """
        lm = as_language_model(model)
        eos = next(iter(ends), None)
        opened = Opened(lm, tokenizer, template, eos, start, tuple(begin), tuple(ends), {})
        return cls(opened, **settings)

    def raw(self) -> "TextModel":
        """The same model, which continues texts: account, trace and store are shared."""
        other = copy.copy(self)
        other.chat, other.system = False, None
        return other

    def without_store(self) -> "TextModel":
        """The same model, which reads every prompt whole; account and trace are shared.

        For measurements of time: what an earlier prompt left in the store makes a later one faster.
        """
        other = copy.copy(self)
        other._store = None
        return other

    def weights_changed(self) -> None:
        """Forget what was read with the old weights; call it after training between prompts.

        One call is enough for the model and all that raw() and without_store() made of it.
        """
        self._reader.renew()

    def weights(self) -> str | None:
        """A short hash of the weights (weights.py); None for a model that has no parameters."""
        model = getattr(self.lm, "model", None)
        if not hasattr(model, "named_arrays"):
            return None
        return weights_hash(model)

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.tokenizer.encode(text))

    def token_texts(self, text: str) -> list[str]:
        """The tokens of a text as text, see TextLM."""
        ids = self.tokenizer.encode(text).tolist()
        # A token may hold a part of a character, so bytes are decoded as they come.
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        pieces = [decoder.decode(self.tokenizer.token_bytes(token)) for token in ids]
        if rest := decoder.decode(b"", final=True):  # a character that never ended
            pieces[-1] += rest
        # A tokenizer of words takes the space before the first one off when it decodes.
        surplus = sum(map(len, pieces)) - len(self.tokenizer.decode(ids))
        if surplus:
            pieces[0] = pieces[0][surplus:]
        return pieces

    def length(self, prompt: str, begin: str = "") -> int:
        """Tokens of a prompt: chat template, or ids before every text, included."""
        return len(self._ids(prompt, begin)[0])

    # From prompts to ids.

    @property
    def model(self) -> Any:
        """The model itself, such as a tinylm.models.GPT; the language model if there is none below.

        After training it, call weights_changed().
        """
        return getattr(self._lm, "model", self._lm)

    @property
    def lm(self) -> ModelLM:
        """The language model that reads batches, with all bits of its weights
        (generate/protocol/language_model.py).
        """
        return self._lm

    def ids(self, prompt: str, begin: str = "") -> list[int]:
        """The ids of a prompt and of what the reply begins with: list of int, checked for room."""
        ids, _ = self._ids(prompt, begin)
        self._check_room(ids)
        return ids

    def _ids(self, prompt, begin):
        """(ids of a prompt and of what the reply begins with, white space taken off their end)."""
        if self.chat:
            messages = self._messages(prompt)
            # A turn does not begin with the space that separates words inside a text.
            begin, space = split_space(begin.removeprefix(" "))
            ids = self.opened.template.encode(self.tokenizer, messages).tolist()
            return ids + self.tokenizer.encode(begin).tolist(), space
        text, space = split_space(self._text(prompt) + begin)
        return prompt_ids(self.tokenizer, text, self.opened.begin, self.opened.start), space

    def _messages(self, prompt):
        messages = prompt
        if isinstance(prompt, str):
            messages = [{"role": "user", "content": prompt}]
        if not messages:
            raise DataError("the prompt is a list without messages: give at least the user's")
        if self.system is not None and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": self.system}, *messages]
        return messages

    def _text(self, prompt):
        if not isinstance(prompt, str):
            raise DataError(
                "a prompt of messages needs the chat template of a model: this one continues text"
            )
        return prompt

    def _seam(self, prompt, begin, continuation):
        """The ids of a prompt and of one continuation: Seam."""
        if not self.chat:
            text = self._text(prompt) + begin
            return seam(self.tokenizer, text, continuation, self.opened.begin, self.opened.start)
        before, _ = self._ids(prompt, "")
        begin, space = split_space(begin.removeprefix(" "))
        continuation = space + continuation
        if begin:
            joint = seam(self.tokenizer, begin, continuation)
            return Seam(before + joint.prompt, joint.continuation, joint.apart)
        # A turn does not begin with the space that separates words inside a text.
        after = self.tokenizer.encode(continuation.removeprefix(" ")).tolist()
        if not after:
            raise DataError(f"score: the continuation {continuation!r} is empty at a turn's start")
        return Seam(before, after)

    def _check_room(self, ids):
        """Raise DataError for a prompt that leaves no room for a reply."""
        if self.context is not None and len(ids) >= self.context:
            raise DataError(
                f"the prompt has {len(ids)} tokens and the model reads {self.context}: shorten it, "
                "or give fewer demonstrations or documents"
            )

    # Completing.

    def _complete(self, prompts, begins, max_tokens, stop, seed, sampling):
        pairs = [self._ids(prompt, begin) for prompt, begin in zip(prompts, begins)]
        seeds = row_seeds(seed, len(prompts))
        for ids, _ in pairs:
            self._check_room(ids)
        lengths = [len(ids) for ids, _ in pairs]
        self.account.add(prompt_tokens=sum(lengths))
        groups = self._groups(lengths, [max_tokens] * len(pairs))
        if self._reader.quantized:
            groups = [[r] for r in range(len(pairs))]
        found = [None] * len(pairs)
        for rows in groups:
            # White space taken off the prompt comes back at the beginning of the reply, and a stop
            # string is looked for after it.
            spaces = [pairs[r][1] for r in rows]
            options = {"seed": [seeds[r] for r in rows], "leads": spaces, "stop": stop, **sampling}
            replies = self._generate([pairs[r][0] for r in rows], max_tokens, options)
            for r, space, reply in zip(rows, spaces, replies):
                found[r] = Completion(
                    reply.text.removeprefix(space),
                    reply.tokens,
                    reply.logprobs,
                    reply.finish,
                    reply.stopped_by,
                    reply.cut,
                )
        return found

    def _groups(self, lengths, more):
        """Lists of the numbers of rows that are read together, shorter ones first: little padding.

        lengths  (B,) tokens of the prompts;  more  (B,) tokens after each
        """
        groups = []
        for r in sorted(range(len(lengths)), key=lambda r: lengths[r]):
            together = [r]
            if groups:
                together = [*groups[-1], r]
            # Aligned at their ends, all rows take the room of the longest prompt.
            tokens = lengths[r] + max(more[i] for i in together)
            fits = self.context is None or tokens <= self.context
            if groups and fits and len(together) <= self._most_rows(tokens):
                groups[-1] = together
            else:
                groups.append([r])
        return groups

    def _generate(self, rows, max_tokens, options):
        """list of Generated for rows of ids that fit in one batch."""
        if len(rows) == 1:
            if self.context is not None:
                max_tokens = min(max_tokens, self.context - len(rows[0]))
            lm, n = self._continued(rows[0])
        else:
            lm, n = self._after(rows)
        return generate_rows(
            lm,
            [ids[n:] for ids in rows],
            max_tokens,
            before=[ids[:n] for ids in rows],
            eos=self.opened.ends or None,
            tokenizer=self.tokenizer,
            **options,
        )

    def _continued(self, ids):
        """(language model after the first n tokens, n) for one sequence."""
        lm, n = self._reader.single, len(ids) - self._reader.last
        if self._store is None or len(ids) <= LEAST:
            self.account.add(read_tokens=len(ids))
            return lm, 0
        keys_values, read = self._store.read(ids[:n])
        self.account.add(read_tokens=read + len(ids) - n)
        return ContinuedLM(lm, keys_values), n

    def _after(self, rows):
        """(language model after the prefix that all rows have in common, tokens of the prefix)."""
        n = shared_length(rows)
        if self._store is None or n < LEAST:
            self.account.add(read_tokens=sum(map(len, rows)))
            return self._lm, 0
        keys_values, read = self._store.read(rows[0][:n])
        self.account.add(read_tokens=read + sum(len(ids) - n for ids in rows))
        return PrefixedLM(self._lm.model, keys_values), n

    def _most_rows(self, tokens):
        """How many rows of so many tokens are read at a time."""
        if self._reader.store is None:
            return self.batch_size
        c, itemsize = self._lm.config, self._lm.model.tokens.weight.dtype.itemsize
        row = 2 * c.cache_layers * c.kv_heads * c.key_width * tokens * itemsize
        return int(np.clip(CACHE_BYTES // row, 1, self.batch_size))

    # Scoring.

    def _score(self, prompts, lists, begins):
        seams = [
            [self._seam(prompt, begin, text) for text in texts]
            for prompt, begin, texts in zip(prompts, begins, lists)
        ]
        for prompt in seams:
            for one in prompt:
                self._check_room(one.prompt + one.continuation[:-1])
        rows = [prompt[0].prompt for prompt in seams]  # the same for all of its continuations
        after = [[one.continuation for one in prompt] for prompt in seams]
        self.account.add(
            prompt_tokens=sum(map(len, rows)),
            scored_tokens=sum(len(ids) for texts in after for ids in texts),
        )
        if len(rows) == 1:
            lm, n = self._after([rows[0], rows[0]])
            self.account.add(read_tokens=n - len(rows[0]))  # _after counted two rows
        else:
            lm, n = self._after(rows)
        terms = [None] * len(rows)
        # The last token of a continuation is scored and not read.
        more = [max(map(len, texts)) - 1 for texts in after]
        for now in self._groups(list(map(len, rows)), more):
            found = score_rows(lm, [rows[r][n:] for r in now], [after[r] for r in now])
            for r, row in zip(now, found):
                terms[r] = row
        return [
            Scores(tuple(texts), tuple(row), apart=tuple(one.apart for one in prompt))
            for texts, row, prompt in zip(lists, terms, seams)
        ]

"""A language model with its tokenizer, behind the text protocol.

Every prompt of a batch gets what it would get alone, and what prompts have in common is read once:
the prefix of all (prefix_store.py), and a prompt for all of its continuations. Read next:
scripted.py; ../answer.py.
"""

import codecs
import copy
import itertools

import numpy as np

from tinylm import backend
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.peft.prompt_cache import PrefixedLM
from tinylm.generate.fast.fastest import fastest
from tinylm.generate.fast.folded import FastDecoder
from tinylm.generate.loop import generate_rows
from tinylm.generate.protocol.language_model import ModelLM, as_language_model
from tinylm.generate.protocol.score import log_probabilities
from tinylm.models import GPT
from tinylm.prompt.protocol.completion import Completion, Scores
from tinylm.prompt.protocol.opened import Opened, open_model
from tinylm.prompt.protocol.prefix_store import LEAST, ContinuedLM, PrefixStore, common_length
from tinylm.prompt.protocol.seam import Seam, prompt_ids, seam, split_space
from tinylm.prompt.protocol.text_lm import TextLM

CACHE_BYTES = 1 << 29  # of keys and values of a batch: 512 MiB
LOGITS = 1 << 26  # logits computed at a time: 256 MiB of float32


class TextModel(TextLM):
    """A TextLM of a real model.

    opened      Opened: language model, tokenizer, chat template, ids that begin and end a text
    chat        True: a prompt is a user's turn of the chat template, and the reply the assistant's;
                False: the model continues the text; None: True where the model has a template
    system      the system message; None: the template's own
    batch_size  most prompts that are read at a time
    """

    def __init__(self, opened, chat=None, system=None, batch_size=16):
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
        # Batches are read by the model itself, one sequence by the fastest decoder for it.
        self._fast = fastest(opened.lm)
        self._lm = opened.lm
        if isinstance(opened.lm, FastDecoder):
            self._lm = opened.lm.model
        self._store = None
        if isinstance(self._lm, ModelLM) and isinstance(self._lm.model, GPT):
            self._store = PrefixStore(self._lm.model)

    @classmethod
    def open(cls, name, device="cpu", bits=None, **settings):
        """The model of a run of `tinylm train` or `tinylm finetune`, or of published weights.

        name      path of a run, or a name, file or folder of weights, such as "smollm2"
        settings  chat, system, batch_size
        """
        return cls(open_model(name, device, bits), **settings)

    @classmethod
    def of(cls, model, tokenizer, begin=(), ends=(), start=None, template=None, **settings):
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

    def raw(self):
        """The same model, which continues texts: account, trace and store are shared."""
        other = copy.copy(self)
        other.chat, other.system = False, None
        return other

    def weights_changed(self):
        """Forget what was read with the old weights; call it after training between prompts."""
        if self._store is not None:
            self._store.clear()
        self._fast = fastest(self.opened.lm)

    def count(self, text):
        """Tokens of a text."""
        return len(self.tokenizer.encode(text))

    def token_texts(self, text):
        """The tokens of a text as text, see TextLM."""
        ids = self.tokenizer.encode(text)
        # A token may hold a part of a character, so bytes are decoded as they come.
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        ends = [self.tokenizer.decode_bytes(ids[:t]) for t in range(len(ids) + 1)]
        pieces = [decoder.decode(b[len(a) :], b is ends[-1]) for a, b in itertools.pairwise(ends)]
        # A tokenizer of words takes the space before the first one off when it decodes.
        surplus = sum(map(len, pieces)) - len(self.tokenizer.decode(ids))
        if surplus:
            pieces[0] = pieces[0][surplus:]
        return pieces

    def length(self, prompt, begin=""):
        """Tokens of a prompt: chat template, or ids before every text, included."""
        return len(self._ids(prompt, begin)[0])

    # From prompts to ids.

    @property
    def lm(self):
        """The language model that reads batches (generate/protocol/language_model.py)."""
        return self._lm

    def ids(self, prompt, begin=""):
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
        begin = begin.removeprefix(" ")
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

    def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
        pairs = [self._ids(prompt, begin) for prompt in prompts]
        seeds = seed
        if isinstance(seed, (int, np.integer)):
            seeds = [seed + r for r in range(len(prompts))]
        for ids, _ in pairs:
            self._check_room(ids)
        self.account.add(prompt_tokens=sum(len(ids) for ids, _ in pairs))
        found = [None] * len(pairs)
        for rows in self._batches([ids for ids, _ in pairs], max_tokens):
            replies = self._generate(
                [pairs[r][0] for r in rows], max_tokens, stop, [seeds[r] for r in rows], sampling
            )
            for r, reply in zip(rows, replies):
                # White space taken off the prompt comes back at the beginning of the reply.
                text = reply.text.removeprefix(pairs[r][1])
                found[r] = Completion(
                    text, reply.tokens, reply.logprobs, reply.finish, reply.stopped_by
                )
        return found

    def _batches(self, all_ids, max_tokens):
        """Lists of the numbers of rows that are generated together."""
        together, batches = [], []
        for r, ids in enumerate(all_ids):
            if self.context is not None and len(ids) + max_tokens > self.context:
                batches.append([r])  # has a limit of its own
                continue
            together.append(r)
            longest = max(len(all_ids[i]) for i in together) + max_tokens
            if len(together) == self._most_rows(longest):
                batches.append(together)
                together = []
        if together:
            batches.append(together)
        return batches

    def _generate(self, rows, max_tokens, stop, seeds, sampling):
        """list of Generated for rows of ids that fit in one batch."""
        if self.context is not None and len(rows) == 1:
            max_tokens = min(max_tokens, self.context - len(rows[0]))
        if len(rows) == 1:
            lm, rest = self._continued(rows[0])
            rows = [rest]
        else:
            lm, n = self._after(rows)
            rows = [ids[n:] for ids in rows]
        return generate_rows(
            lm,
            rows,
            max_tokens,
            seed=seeds,
            stop=stop,
            eos=self.opened.ends or None,
            tokenizer=self.tokenizer,
            **sampling,
        )

    def _continued(self, ids):
        """(language model after all but the last token, [the last token]) for one sequence."""
        if self._store is None or len(ids) <= LEAST:
            self.account.add(read_tokens=len(ids))
            return self._fast, ids
        keys_values, read = self._store.read(ids[:-1])
        self.account.add(read_tokens=read + 1)
        return ContinuedLM(self._fast, keys_values), ids[-1:]

    def _after(self, rows):
        """(language model after the prefix that all rows have in common, tokens of the prefix)."""
        n = min(common_length(rows[0], ids) for ids in rows)
        n = min(n, min(map(len, rows)) - 1)  # at least one token is left to read
        if self._store is None or n < LEAST:
            self.account.add(read_tokens=sum(map(len, rows)))
            return self._lm, 0
        keys_values, read = self._store.read(rows[0][:n])
        self.account.add(read_tokens=read + sum(len(ids) - n for ids in rows))
        return PrefixedLM(self._lm.model, keys_values), n

    def _most_rows(self, tokens):
        """How many rows of so many tokens are read at a time."""
        if self._store is None:
            return self.batch_size
        c, itemsize = self._lm.config, self._lm.model.tokens.weight.dtype.itemsize
        row = 2 * c.cache_layers * c.kv_heads * c.key_width * tokens * itemsize
        return int(np.clip(CACHE_BYTES // row, 1, self.batch_size))

    # Scoring.

    def _score(self, prompts, lists, begin):
        seams = [
            [self._seam(prompt, begin, text) for text in texts]
            for prompt, texts in zip(prompts, lists)
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
        # Rows of similar length are read together: little padding.
        order = sorted(range(len(rows)), key=lambda r: len(rows[r]))
        while order:
            longest = max(len(rows[r]) + max(map(len, after[r])) for r in order[: self.batch_size])
            now = order[: self._most_rows(longest)]
            order = order[len(now) :]
            found = _score_rows(lm, [rows[r][n:] for r in now], [after[r] for r in now])
            for r, row in zip(now, found):
                terms[r] = row
        return [
            Scores(tuple(texts), tuple(row), apart=tuple(one.apart for one in prompt))
            for texts, row, prompt in zip(lists, terms, seams)
        ]


def _score_rows(lm, rows, continuations):
    """log Pr of each token of each row's continuations, each row read once.

    rows           B lists of ids, of any lengths
    continuations  B lists of lists of ids
    returns        B lists of float64 arrays
    """
    width = max(map(len, rows))
    padding = np.array([width - len(ids) for ids in rows])  # (B,), aligned at their ends
    tokens = np.array([[0] * (width - len(ids)) + ids for ids in rows])  # (B, width)
    cache = lm.new_cache(len(rows), padding if padding.any() else None)
    first = log_probabilities(backend.to_cpu(lm.next_logits(tokens, cache)))  # (B, V)
    terms = [
        [np.full(len(y), first[b, y[0]]) for y in texts] for b, texts in enumerate(continuations)
    ]
    # Tokens after the first need the continuation itself: (row, number of the continuation).
    longer = [
        (b, k) for b, texts in enumerate(continuations) for k, y in enumerate(texts) if len(y) > 1
    ]
    while longer:
        length = max(len(continuations[b][k]) for b, k in longer) - 1
        count = max(1, min(LOGITS // (length * lm.vocab_size), 2 * len(rows)))
        now, longer = longer[:count], longer[count:]
        branches = _copied(cache) if longer else cache  # the last may use the cache itself up
        branches.select([b for b, _ in now])
        texts = [continuations[b][k] for b, k in now]
        tokens = np.array([y[:-1] + [0] * (length - len(y) + 1) for y in texts])  # (n, length)
        logits = backend.to_cpu(lm.logits(tokens, branches))  # (n, length, V)
        for (b, k), y, scores in zip(now, texts, logits):
            rest = log_probabilities(scores[: len(y) - 1])  # padding at the right is not looked at
            terms[b][k][1:] = rest[np.arange(len(y) - 1), y[1:]]
    return terms


def _copied(cache):
    """A cache that can be cut and continued without changing the other: select() copies arrays."""
    other = copy.copy(cache)
    if hasattr(other, "inner"):
        other.inner = copy.copy(other.inner)
    return other

"""A text model that is a function of its prompt, for methods whose prompts are not known before."""

from tinylm.prompt import ScriptedLM


class FunctionLM(ScriptedLM):
    """A TextLM whose reply to a prompt is reply(prompt): a str, or the scores of continuations.

    It counts words and cuts replies as ScriptedLM does.
    """

    def __init__(self, reply):
        super().__init__({})
        self.reply = reply

    def _next(self, prompt, begin):
        whole = f"{prompt}{begin}"
        self.prompts.append(whole)
        return self.reply(whole)

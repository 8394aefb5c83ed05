"""What a sample starts from."""

from workbench.data.corpus import Corpus
from workbench.errors import UsageError


def prompt_of(prompt: str, corpus: Corpus) -> str:
    """`sample.prompt` for this corpus. The default newline stands for the text's beginning where it has none.

    UsageError if it has a character that the vocabulary lacks, or none at all.
    """
    if prompt == "\n" and corpus.newline is None and corpus.tokenizer.name == "char":
        return corpus.tokenizer.decode(corpus.splits["train"].read(0, 1))
    if prompt and corpus.tokenizer.kind != "char":
        return prompt  # bytes, and what is merged of them, spell any text: nothing to load an encoder for
    try:
        ids = corpus.tokenizer.encode(prompt)
    except UsageError as error:
        raise UsageError(f"sample.prompt = {prompt!r}: {error}") from None
    if not len(ids):
        raise UsageError("sample.prompt = '': expected at least one character to start from")
    return prompt

"""`workbench data`: the datasets, or one of them."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a dataset's name, or a path")
    parser.add_argument("--tokenizer", default="char", help="char, byte, a tiktoken name, bpe:N (default: char)")
    parser.add_argument("--fetch", action="store_true", help="download it now")
    options.json(parser)


def run(a: argparse.Namespace) -> int:
    """Datasets: what is here, what can be fetched, what each holds."""
    from workbench.words.telling import data

    return data.tell(a.name, tokenizer=a.tokenizer, fetch=a.fetch, json=a.json)

"""Text to learn and to be scored on: sources that every installation of Python has, or words that are made up."""

import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

TRAINED = 64  # bytes in a text that is trained on
LONGEST = 16 * TRAINED  # bytes in a text that is scored
HELD_OUT = 6  # one file of so many is for scoring, in the order of names
SCORED = 32  # texts, one of each file
_WORDS = 100


@dataclass(frozen=True)
class Size:
    """How large a decoder is and for how long it is trained."""

    width: int
    head_dim: int
    depth: int
    steps: int
    batch: int
    rate: float


# The larger one learns for about 40 seconds of one processor, the smaller one for two.
LARGE = Size(width=128, head_dim=32, depth=3, steps=320, batch=32, rate=3e-3)
SMALL = Size(width=32, head_dim=16, depth=2, steps=150, batch=16, rate=1e-2)


@dataclass(frozen=True)
class Text:
    """Bytes to learn, uint8 of shape (n,), and others to score, int64 of shape (texts, LONGEST)."""

    name: str
    learned: torch.Tensor
    scored: torch.Tensor
    size: Size


def source_text() -> tuple[Text]:
    """Return the first of the folders of sources that has enough text, or made-up words where none has."""
    for name, files in _folders():
        held_out = [file.read_bytes() for file in files[::HELD_OUT]]
        long = [_tokens(each[:LONGEST]).long() for each in held_out if len(each) >= LONGEST][:SCORED]
        learned = b"".join(file.read_bytes() for i, file in enumerate(files) if i % HELD_OUT)
        if len(long) >= SCORED // 2 and len(learned) >= LARGE.steps * LARGE.batch * TRAINED:
            return (Text(name, _tokens(learned), torch.stack(long), LARGE),)
    return made_text()


def _folders() -> Iterator[tuple[str, list[Path]]]:
    """Yield folders with the source of Python programs, which an installation may have left out."""
    yield "Python's standard library", sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    yield "the source of numpy", sorted(Path(np.__file__).parent.rglob("*.py"))


def made_text() -> tuple[Text]:
    """Return words of random letters in random order, the first of them the most frequent ones."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 8, _WORDS)
    words = [bytes(rng.integers(ord("a"), ord("z") + 1, n).astype(np.uint8)) for n in lengths]
    frequencies = 1 / np.arange(1, _WORDS + 1)

    def written(count: int) -> torch.Tensor:
        chosen = rng.choice(_WORDS, count, p=frequencies / frequencies.sum())
        return _tokens(b" ".join(words[i] for i in chosen))

    scored = [written(LONGEST)[:LONGEST].long() for _ in range(8)]  # as many words have more than as many letters
    return (Text("made-up words", written(20_000), torch.stack(scored), SMALL),)


def _tokens(text: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)

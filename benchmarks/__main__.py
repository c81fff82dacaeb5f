"""``python -m benchmarks ROOM [--quick] [--out FOLDER]``: print and store the tables of a room."""

import argparse
import importlib
from pathlib import Path

from benchmarks.report import store
from benchmarks.runner import Question, run


def questions(room: str) -> list[Question]:
    """Return the questions of every file benchmarks/ROOM_*.py."""
    files = sorted(Path(__file__).parent.glob(f"{room}_*.py"))
    return [importlib.import_module(f"benchmarks.{each.stem}").QUESTION for each in files]


def main() -> None:
    """Run the tables that the command line names."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("room")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: checks that everything runs")
    parser.add_argument("--one-thread", action="store_true", help="leave out the times at all threads")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    found = questions(arguments.room)
    if not found:
        parser.error(f"room must have files benchmarks/{arguments.room}_*.py, found none")
    store(
        [run(each, quick=arguments.quick, all_threads=not arguments.one_thread) for each in found],
        arguments.room,
        arguments.out,
    )


if __name__ == "__main__":
    main()

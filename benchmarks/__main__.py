"""``python -m benchmarks ROOM [--quick] [--device cuda] [--out FOLDER]``: print and store the tables of a room."""

import argparse
import importlib
from pathlib import Path

from benchmarks.report import store
from benchmarks.runner import Question, run

ON_DEVICE = ("linalg", "simplex", "hippo", "ssm", "rope")
_DEVICES = "where the tables are of; stand-in runs those of cuda on the CPU: checks that everything runs"


def questions(room: str) -> list[Question]:
    """Return the questions of every file benchmarks/ROOM_*.py."""
    files = sorted(Path(__file__).parent.glob(f"{room}_*.py"))
    modules = [importlib.import_module(f"benchmarks.{each.stem}") for each in files]
    return [each.QUESTION for each in modules if hasattr(each, "QUESTION")]  # dask_svd is a command of its own


def on_device(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Run the table of benchmarks/gpu/ROOM.py."""
    from benchmarks.gpu import table
    from benchmarks.gpu.place import find_place

    if arguments.room not in ON_DEVICE:
        wanted = f"one of {', '.join(ON_DEVICE)} with --device {arguments.device}"
        parser.error(f"room must be {wanted}, got {arguments.room}")
    try:
        place = find_place(arguments.device)
    except RuntimeError as error:
        parser.error(str(error))
    found = importlib.import_module(f"benchmarks.gpu.{arguments.room}").QUESTION
    answer = table.run(found, place, quick=arguments.quick)
    table.store(answer, arguments.room, place, arguments.out, quick=arguments.quick)


def main() -> None:
    """Run the tables that the command line names."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("room")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: checks that everything runs")
    parser.add_argument("--one-thread", action="store_true", help="leave out the times at all threads")
    parser.add_argument("--device", choices=("cpu", "cuda", "stand-in"), default="cpu", help=_DEVICES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    if arguments.device != "cpu":
        on_device(parser, arguments)
        return
    found = questions(arguments.room)
    if not found:
        parser.error(f"room must have files benchmarks/{arguments.room}_*.py with a QUESTION, found none")
    store(
        [run(each, quick=arguments.quick, all_threads=not arguments.one_thread) for each in found],
        arguments.room,
        arguments.out,
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()

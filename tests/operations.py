"""The table of operations: one row per public function drives every generic test in test_operations.py.

A new public function is a new row in the list ROWS of one of the files tests/ROOM/operations*.py. What a row does not
support it says there, and nowhere else.
"""

import importlib
from pathlib import Path

from tests.operation import Operation


def _rows() -> list[Operation]:
    files = sorted(Path(__file__).parent.glob("*/operations*.py"))
    modules = [importlib.import_module(f"tests.{each.parent.name}.{each.stem}") for each in files]
    return [row for module in modules for row in module.ROWS]


OPERATIONS = _rows()

"""A cache of compiled kernels that does no harm: one that is damaged, or cannot be written, is as good as none."""

from contextlib import suppress
from typing import Any

from numba.core.caching import FunctionCache


class ForgivingCache(FunctionCache):
    """numba's cache, which would raise where a file holds garbage or a disk is full.

    A file is garbage where a process was ended while it wrote, or a disk lost what was written last.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what is stored, or None, upon which it is compiled."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store what was compiled, over an index that cannot be read if need be, or do nothing."""
        try:
            super().save_overload(sig, data)
        except Exception:
            with suppress(Exception):
                self.flush()
                super().save_overload(sig, data)

"""Blocks of rows that every visit reads anew.

Were the blocks of all visits the same tasks, each block would wait in memory for the next visit, and in the end all
would be there. So a visit has copies of the tasks that a block is made of, the last of them joined with its own.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from dask._task_spec import GraphNode, Task, TaskRef, convert_legacy_graph
from dask.array import Array
from dask.array.optimization import optimize
from dask.base import clone_key
from dask.core import flatten
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph


class Source:
    """Blocks of rows ``A`` (m, n); ``once`` is an array in their graph that all visits share.

    Blocks that are in the memory of the cluster are taken from there.
    """

    def __init__(self, A: Any, once: Any = None) -> None:
        self.A = A
        self.shape: tuple[int, int] = (int(A.shape[0]), int(A.shape[1]))
        self.keys = [(A.name, i, 0) for i in range(A.numblocks[0])]
        shared = [] if once is None else list(flatten(once.__dask_keys__()))
        graph = dict(A.dask)
        futures = {key for key, value in graph.items() if hasattr(value, "key") and not isinstance(value, GraphNode)}
        if not futures:
            graph = dict(optimize(A.dask, [*self.keys, *shared]))
        nodes = convert_legacy_graph({k: v for k, v in graph.items() if k not in futures}, all_keys=set(graph))
        self.nodes = _reachable(nodes, self.keys, futures.union(shared))
        self.uses = Counter(key for node in self.nodes.values() for key in node.dependencies)
        self.needed = [*([A] if futures else []), *([] if once is None else [once])]

    def visit(self, function: Callable[..., Any], *args: Any, each: list[Any] | None = None) -> Any:
        """Return an array whose blocks are ``function(block, *args)``, or ``function(block, each[i], *args)``.

        ``args`` may be lazy values.
        """
        token = uuid.uuid4().hex
        name = f"{function.__name__.strip('_')}-{token}"
        renamed = {key: clone_key(key, token) for key in self.nodes}
        layer = {renamed[key]: node.substitute(renamed, key=renamed[key]) for key, node in self.nodes.items()}
        given = [TaskRef(arg.key) if isinstance(arg, Delayed) else arg for arg in args]
        for i, key in enumerate(self.keys):
            block = renamed.get(key, key)
            own = [] if each is None else [each[i]]
            task = Task((name, i, 0), function, TaskRef(block), *own, *given)
            if not self.uses[key] and isinstance(layer.get(block), Task):
                task = Task.fuse(layer.pop(block), task, key=task.key)
            layer[task.key] = task
        needed = [*self.needed, *(arg for arg in args if isinstance(arg, Delayed))]
        graph = HighLevelGraph.from_collections(name, layer, dependencies=needed)
        return Array(graph, name, self.A.chunks, meta=np.empty((0, 0), dtype=self.A.dtype))

    def slices(self) -> list[slice]:
        """Return the rows of each block."""
        ends = np.cumsum([0, *self.A.chunks[0]]).tolist()
        return [slice(start, stop) for start, stop in pairwise(ends)]


def _reachable(nodes: dict[Any, Any], keys: Iterable[Any], ends: set[Any]) -> dict[Any, Any]:
    """Return what ``keys`` are made of, up to ``ends``."""
    found: dict[Any, Any] = {}
    waiting = [key for key in keys if key not in ends]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found[key] = nodes[key]
            waiting += [each for each in nodes[key].dependencies if each not in ends]
    return found

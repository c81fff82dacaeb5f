"""QR of a tall matrix on a tree: triangles of blocks, of triangles of blocks, and so on; Q by the way back."""

from typing import Any, NamedTuple

import dask
import numpy as np
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from lina._dask.graph import BRANCHES, as_task, keys_of


class Triangle(NamedTuple):
    """R (k, n) over the power of two ``scale``, which is 0 where R is."""

    R: Any
    scale: float


class Node(NamedTuple):
    """QR of the triangles of a few blocks, one above the other: where the rows of Q begin, Q, and the triangle."""

    starts: list[int]
    Q: Any
    top: Triangle


@as_task
def joined(triangles: list[Triangle]) -> Triangle:
    """Return the triangle of some triangles."""
    stacked, scale = _stacked(triangles)
    return Triangle(np.linalg.qr(stacked, mode="r"), scale)


@as_task
def _node(triangles: list[Triangle]) -> Node:
    stacked, scale = _stacked(triangles)
    starts = np.cumsum([0, *(each.R.shape[0] for each in triangles)]).tolist()
    Q, R = np.linalg.qr(stacked)
    return Node(starts, Q, Triangle(R, scale))


def _stacked(triangles: list[Triangle]) -> tuple[Any, float]:
    """Return the triangles one above the other, over a scale that suits all."""
    scale = max(each.scale for each in triangles)
    parts = [each.R if each.scale == scale else each.R * (each.scale / scale) for each in triangles]
    return np.concatenate(parts, axis=0), scale


class Tree:
    """The tree over the triangles of all blocks; ``root`` is its last triangle."""

    def __init__(self, triangles: Any) -> None:
        self.name = f"tree-{triangles.name}"
        layer: dict[Any, Any] = {}
        self.groups: list[list[Any]] = []  # groups[l][i]: the keys of what node i of level l joins
        keys = keys_of(triangles)
        while True:
            level = len(self.groups)
            self.groups.append([keys[i : i + BRANCHES] for i in range(0, len(keys), BRANCHES)])
            keys = []
            for i, group in enumerate(self.groups[-1]):
                layer[(self.name, level, i)] = (_node, group)
                layer[(self.name, level, i, "top")] = (_top, (self.name, level, i))
                keys.append((self.name, level, i, "top"))
            if len(keys) == 1:
                break
        root = f"root-{self.name}"
        layer[root] = keys[0]
        self.graph = HighLevelGraph.from_collections(self.name, layer, dependencies=[triangles])
        self.root = Delayed(root, self.graph, layer=self.name)

    def columns(self, Q: Any, C: Delayed, width: int, dtype: Any) -> Any:
        """Return the array Q_tree @ C for lazy ``C`` (k, width) of the root; ``Q`` holds those of the blocks."""
        name = f"columns-{dask.base.tokenize(self.name, C.key, width)}"
        layer: dict[Any, Any] = {}
        coefficients: list[Any] = [C.key]
        for level in range(len(self.groups) - 1, -1, -1):
            below: list[Any] = []
            for i, group in enumerate(self.groups[level]):
                for j in range(len(group)):
                    key = (f"{name}-down", level, i, j)
                    layer[key] = (_down, (self.name, level, i), coefficients[i], j)
                    below.append(key)
            coefficients = below
        for i, key in enumerate(keys_of(Q)):
            layer[(name, i, 0)] = (_product, key, coefficients[i])
        graph = HighLevelGraph.from_collections(name, layer, dependencies=[Q, self.root, C])
        return dask.array.Array(graph, name, (Q.chunks[0], (width,)), dtype=dtype, meta=np.empty((0, 0), dtype=dtype))


def _top(node: Node) -> Triangle:
    return node.top


@as_task
def _down(node: Node, C: Any, place: int) -> Any:
    """Return the coefficients of one of the triangles that a node joined, from those of its own."""
    return node.Q[node.starts[place] : node.starts[place + 1], :] @ C


@as_task
def _product(Q: Any, C: Any) -> Any:
    return Q @ C

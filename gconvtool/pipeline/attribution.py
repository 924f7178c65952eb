"""Which node of a model each kernel of its optimised graph computes, and which layer that is.

The optimiser fuses nodes, drops tensors, renames others and puts conversions of layout between. Two
things lead back, in a model whose nodes are named after their first outputs: a kernel still writes
a tensor of the model, or its own name holds one (`relu1_nchwc`, `relu1_nchwc_token_3`). Call those
the tensors that are *handed over*. With t the one that a kernel hands over,

    it computes     every node on a way to t from other tensors that are handed over
    it works for    the one of them with the most MACs, or what makes t where none has any

A conversion of layout works for the first kernel that reads what it makes, as does a kernel that
hands nothing over, or for what it reads of where nothing does.

Rewriting keeps the names of convolutions' outputs. So two models are cut at the tensors that both
have, and a layer is what lies between: a convolution in the one, several nodes in the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from gconvtool.facts import NodeFact
from gconvtool.runtime.profiling import Kernel

REORDERS = frozenset({"ReorderInput", "ReorderOutput"})
NCHWC = "com.microsoft.nchwc"
SUFFIXES = (re.compile(r"_nchwc(_token_\d+)?$"), re.compile(r"_(bn|mul)_nchwc(_token_\d+)?$"))
"""What follows a tensor in a kernel's name; normalisation and scaling become convolutions, too."""

Macs = Mapping[str, int | None]


def is_reorder(kernel: Kernel) -> bool:
    """Whether it only converts between the plain and the blocked layout."""
    return kernel.domain == NCHWC and kernel.op in REORDERS


def sources(kernels: Sequence[Kernel], nodes: Sequence[NodeFact], macs: Macs) -> dict[str, str]:
    """The node that each kernel works for, by their names; kernels without one are left out.

    Args:
        kernels: an optimised graph, in topological order.
        nodes: the model it was made of, its nodes named after their first outputs.
        macs: of its nodes.
    """
    makers = {tensor: node.name for node in nodes for tensor in node.writes if tensor}
    over = {k.name: handed for k in kernels if (handed := _handed_over(k, makers))}
    origins = _Origins(nodes, makers, frozenset(over.values()))
    found = {kernel: origins.heaviest(node, macs) for kernel, node in over.items()}
    _by_neighbours(kernels, found)
    return found


def cut(nodes: Sequence[NodeFact], shared: Set[str]) -> dict[str, str]:
    """The layer that each node belongs to, by the name of the shared tensor that it leads to first.

    A node that leads to none is a layer of its own.
    """
    leads_to: dict[str | None, str | None] = {}
    readers = _first_readers((node.name, node.reads) for node in nodes)
    for node in reversed(nodes):
        own = next((tensor for tensor in node.writes if tensor in shared), None)
        reader = next((readers[t] for t in node.writes if t in readers), None)
        leads_to[node.name] = own or leads_to.get(reader)
    return {node.name: leads_to[node.name] or node.name for node in nodes}


class _Origins:
    """A model, and which of its nodes make tensors that are handed over."""

    def __init__(
        self, nodes: Iterable[NodeFact], makers: Mapping[str, str], handed: frozenset[str]
    ) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._makers, self._handed = makers, handed

    def heaviest(self, name: str, macs: Macs) -> str:
        """Of the nodes that one kernel computes up to this one, the one with the most MACs."""
        return max(self._computed(name), key=lambda node: macs.get(node) or 0)

    def _computed(self, name: str) -> Iterator[str]:
        """The node itself first."""
        seen, waiting = {name}, [name]
        while waiting:
            node = waiting.pop()
            yield node
            before = {self._makers[t] for t in self._nodes[node].reads if t in self._makers}
            new = sorted(before - self._handed - seen)
            seen.update(new)
            waiting += new


def _handed_over(kernel: Kernel, makers: Mapping[str, str]) -> str | None:
    """What makes, in the model, the tensor that a kernel hands over."""
    if is_reorder(kernel):
        return None
    candidates = (*kernel.writes, *(suffix.sub("", kernel.name) for suffix in SUFFIXES))
    return next((makers[name] for name in candidates if name in makers), None)


def _by_neighbours(kernels: Sequence[Kernel], found: dict[str, str]) -> None:
    """Give those without a node that of what reads them, or else of what they read."""
    readers = _first_readers((kernel.name, kernel.reads) for kernel in kernels)
    makers = {tensor: kernel.name for kernel in kernels for tensor in kernel.writes}
    for kernel in reversed(kernels):
        _join(found, kernel, (readers.get(tensor) for tensor in kernel.writes))
    for kernel in kernels:
        _join(found, kernel, (makers.get(tensor) for tensor in kernel.reads))


def _join(found: dict[str, str], kernel: Kernel, neighbours: Iterable[str | None]) -> None:
    node = next((found[name] for name in neighbours if name in found), None)
    if node is not None:
        found.setdefault(kernel.name, node)


def _first_readers(nodes: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    readers: dict[str, str] = {}
    for name, reads in nodes:
        for tensor in reads:
            readers.setdefault(tensor, name)
    return readers

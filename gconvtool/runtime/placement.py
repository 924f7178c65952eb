"""Which provider runs which share of a model's convolutions, as onnxruntime attests it.

A provider that cannot run a node leaves it to the next one, in the end to the CPU, and says
nothing. onnxruntime records who took what, by the name and the operator of every node that basic
optimisations left over (since 1.24). A share is

    MACs of the provider's convolutions  /  MACs of all convolutions that run

and is known where one provider runs all of them, or else where each can be told by its name:
nameless nodes, nodes inside functions and names that occur twice cannot, and a provider that wants
other layouts may rename what it takes. A convolution that was merged with its double runs nowhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import onnx_ir as ir

from gconvtool.errors import MissingError
from gconvtool.facts import total
from gconvtool.graph.sites import CONVOLUTIONS, is_convolution
from gconvtool.results import Layer, Placed
from gconvtool.runtime import providers
from gconvtool.runtime.session import Assigned, Session

Macs = Mapping[str, int | None]
"""MACs of a model's convolutions by the names of their nodes; None where they are not known."""
NAMED = 3
"""Convolutions that a message names before it counts the others."""


def conv_macs(model: ir.Model, layers: Iterable[Layer]) -> dict[str, int | None]:
    """What the convolutions that can be told by their node's name cost.

    Args:
        model: what is run.
        layers: its costs, named after output tensors.
    """
    costs = {layer.name: layer.macs for layer in layers if layer.parent is None}
    times = Counter(node.name for graph in model.graphs() for node in graph)
    return {
        node.name: costs.get(node.outputs[0].name or "")
        for node in model.graph
        if node.name and times[node.name] == 1 and is_convolution(node)
    }


def attest(session: Session, macs: Macs) -> dict[str, Placed]:
    """What each provider runs, by its full name; empty where onnxruntime does not say.

    Args:
        session: of the model.
        macs: of its convolutions, see `conv_macs`.
    """
    nodes = session.assigned() or ()
    convolutions = [node for node in nodes if node.op in CONVOLUTIONS]
    times = Counter(node.name for node in convolutions)
    costs = [macs.get(node.name) if times[node.name] == 1 else None for node in convolutions]
    placed = {}
    for full, count in Counter(node.provider for node in nodes).items():
        own = [index for index, node in enumerate(convolutions) if node.provider == full]
        placed[full] = Placed(
            nodes=count,
            conv_macs=total(costs[index] for index in own),
            share=_share([costs[index] for index in own], costs),
            convolutions=tuple(_called(convolutions[index]) for index in own),
        )
    return placed


def require(placed: Mapping[str, Placed], provider: str, name: str) -> None:
    """Refuse a session in which a convolution fell back from the provider that was asked for.

    Args:
        placed: what `attest` says.
        provider: the short name of who should run all convolutions.
        name: what messages call the model.

    Raises:
        MissingError: another one runs some, or onnxruntime does not say.
    """
    if not placed:
        raise MissingError(
            f"{name}: onnxruntime does not say which provider runs it: install 1.24 or a later "
            "one, or give --no-strict-provider"
        )
    elsewhere = {
        providers.short(full): one
        for full, one in placed.items()
        if one.convolutions and providers.short(full) != provider
    }
    if elsewhere:
        fallen = "; ".join(_fallen(other, one) for other, one in elsewhere.items())
        raise MissingError(
            f"{name}: {provider} does not run all convolutions: {fallen}; "
            "--no-strict-provider measures it all the same"
        )


def _share(own: Sequence[int | None], costs: Sequence[int | None]) -> float | None:
    """A part of all MACs; also known where it is all of the convolutions, or none."""
    if not costs:
        return None
    if len(own) in (0, len(costs)):
        return 1.0 if own else 0.0
    part, whole = total(own), total(costs)
    return part / whole if part is not None and whole else None


def _called(node: Assigned) -> str:
    return node.name or f"a nameless {node.op}"


def _fallen(provider: str, placed: Placed) -> str:
    """Who runs which convolutions instead, and how much that is."""
    more = len(placed.convolutions) - NAMED
    which = ", ".join(placed.convolutions[:NAMED]) + (f" and {more} more" if more > 0 else "")
    share = "" if placed.share is None else f" ({100 * placed.share:.1f} % of their MACs)"
    return f"{provider} runs {which}{share}"

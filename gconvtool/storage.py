"""What is stored with a network, by what it is for.

A tensor has the first of these roles that some node which reads it gives to it; what only passes
through to an output is a constant.
"""

from __future__ import annotations

from gconvtool import costs
from gconvtool.facts import Parameter, Survey, nested
from gconvtool.results import Role, Stored

ORDER: tuple[Role, ...] = ("learned", "statistics", "quantisation", "constants", "unused")


def by_role(survey: Survey) -> dict[Role, Stored]:
    """Stored tensors of each role; shared ones count once, roles without any are left out."""
    found: dict[str, tuple[Parameter, set[Role]]] = {}
    for node in nested(survey.nodes):
        for index, parameter in enumerate(node.parameters):
            if parameter is not None:
                _, roles = found.setdefault(parameter.name, (parameter, set()))
                roles.add(costs.role(node, index))
    for parameter in survey.stored:
        role: Role = "unused" if parameter.name in survey.unused else "constants"
        found.setdefault(parameter.name, (parameter, {role}))
    stored: dict[Role, Stored] = {}
    for parameter, roles in found.values():
        role = min(roles, key=ORDER.index)
        stored[role] = _with(stored.get(role, Stored(0, 0, 0)), parameter)
    return {role: stored[role] for role in ORDER if role in stored}


def _with(old: Stored, parameter: Parameter) -> Stored:
    return Stored(
        old.tensors + 1, old.numbers + parameter.numbers, old.bytes + parameter.stored_bytes
    )

"""From wishes, or from an earlier plan, to a plan: which site gets which recipe, which stay, why.

Pure and deterministic: the same sites and wishes give the same plan, in topological order.

A recipe of g groups at a convolution of C channels and N filters that has G groups already makes
G·g groups, each of C/(G·g) channels and N/(G·g) filters. Channels are numbered in the whole
convolution, and groups i·g … i·g + g - 1 lie inside its group i.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TypeAlias

from gconvtool.errors import InputError
from gconvtool.facts import ConvSite, Skip
from gconvtool.recipes import Candidate, Grouped, Monarch, Recipe, propose
from gconvtool.spellings import Spelling

SHARES = (Grouped, Monarch)
"""Recipes whose groups are chosen among the channels and filters."""

Lists: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Channels:
    """The input channels and the filters of each group, numbered in the whole convolution."""

    inputs: Lists
    outputs: Lists

    def objection(self, recipe: Recipe) -> str | None:
        """Why these are no groups of the recipe at any convolution, if so."""
        if not isinstance(recipe, SHARES):
            return f"{recipe} takes no lists of channels"
        if len(self.inputs) != len(self.outputs):
            return f"{len(self.inputs)} lists of inputs and {len(self.outputs)} of outputs"
        if len(self.inputs) % recipe.groups:
            return (
                f"{len(self.inputs)} lists of channels, and {recipe} makes {recipe.groups} groups"
            )
        for what, lists in self._sides():
            if flaw := _flaw(lists):
                return f"{what}: {flaw}"
        return None

    def misfit(self, site: ConvSite, recipe: Recipe) -> str | None:
        """Why these are no groups of the recipe at this convolution, if so."""
        if reason := self.objection(recipe):
            return reason
        assert isinstance(recipe, SHARES)
        wanted = site.groups * recipe.groups
        if len(self.inputs) != wanted:
            return f"{len(self.inputs)} lists of channels, and {recipe} makes {wanted} groups there"
        for (what, lists), count in zip(self._sides(), (site.channels, site.filters), strict=True):
            if reason := _stray(lists, count, site.groups):
                return f"{what}: {reason}"
        return None

    def ascending(self) -> Channels:
        """The same groups, the channels of each in order."""
        sides = ((tuple(sorted(group)) for group in lists) for _, lists in self._sides())
        return Channels(*map(tuple, sides))

    def parts(self, groups: int) -> tuple[Channels, ...]:
        """What falls to each of G groups of the convolution, numbered inside it."""
        sides = zip(*(_parts(lists, groups) for _, lists in self._sides()), strict=True)
        return tuple(Channels(inputs, outputs) for inputs, outputs in sides)

    def _sides(self) -> tuple[tuple[str, Lists], tuple[str, Lists]]:
        return ("inputs", self.inputs), ("outputs", self.outputs)


@dataclass(frozen=True)
class Entry:
    """A line of a plan that is kept: what a site becomes.

    `channels` are the groups to make, None to have them found; `error` is what was left when it
    was fitted, None where that is not known; `spelling` how it is written, None as all others are.
    """

    name: str
    recipe: Recipe
    channels: Channels | None = None
    error: float | None = None
    spelling: Spelling | None = None


@dataclass(frozen=True)
class Plan:
    """What will be done: `steps` in topological order, and the sites that stay, with reasons.

    `channels` holds the groups of those steps whose groups need not be found any more, `spellings`
    how those are written that are not written as all others are.
    """

    steps: tuple[Candidate, ...]
    kept: Mapping[str, Skip]
    channels: Mapping[str, Channels] = field(default_factory=dict)
    spellings: Mapping[str, Spelling] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """Globs on site names: only those (all, if empty), and not those."""

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    def objection(self, name: str) -> str | None:
        """Why a site is not selected, if so."""
        if self.only and not _matches(name, self.only):
            return "not among --only"
        return "left out by --skip" if _matches(name, self.skip) else None

    def idle(self, names: Iterable[str]) -> tuple[str, ...]:
        """The globs that match no site at all: most likely a typing error."""
        known = tuple(names)
        return tuple(
            glob
            for glob in (*self.only, *self.skip)
            if not any(_matches(name, (glob,)) for name in known)
        )


def choose(
    sites: Iterable[ConvSite], refused: Mapping[str, Skip], recipe: Recipe, selection: Selection
) -> Plan:
    """Give every selected site the recipe where that is legal and cheaper.

    `refused` holds the sites that the graph itself forbids to rewrite.
    """
    return _gathered((site.name, _decide(site, refused, recipe, selection)) for site in sites)


def replay(
    sites: Iterable[ConvSite],
    refused: Mapping[str, Skip],
    entries: Iterable[Entry],
    selection: Selection = Selection(),
) -> Plan:
    """Do as an earlier plan says, where the selection lets it; all other sites stay.

    Raises:
        InputError: a name that no site has or that comes twice, a recipe that is not allowed or no
            gain at its site, or groups that do not fit it. It names the site, not the plan.
    """
    known = {site.name: site for site in sites}
    wanted = _by_name(entries, known, refused)
    plan = _gathered(
        (name, _repeat(site, refused, wanted.get(name), selection)) for name, site in known.items()
    )
    spelled = {name: entry.spelling for name, entry in wanted.items() if entry.spelling}
    return Plan(plan.steps, plan.kept, dict(_groups(plan.steps, wanted)), spelled)


def together(plan: Plan, families: Iterable[Sequence[str]]) -> Plan:
    """The plan, but sites that share a weight become the same, or stay.

    Each family holds the names of such sites.
    """
    becomes = {
        step.site.name: (step.recipe, plan.channels.get(step.site.name)) for step in plan.steps
    }
    misfits = {
        name: Skip(f"it shares its weight with {other}, which {_said(becomes.get(other))}")
        for family in families
        for name in family
        if name in becomes
        and (other := next((o for o in family if becomes.get(o) != becomes[name]), None))
    }
    steps = tuple(step for step in plan.steps if step.site.name not in misfits)
    return replace(plan, steps=steps, kept={**plan.kept, **misfits})


def _said(becomes: tuple[Recipe, Channels | None] | None) -> str:
    return "stays as it is" if becomes is None else f"becomes {becomes[0]} of its own"


def _gathered(answers: Iterable[tuple[str, Candidate | Skip]]) -> Plan:
    steps: list[Candidate] = []
    kept: dict[str, Skip] = {}
    for name, answer in answers:
        if isinstance(answer, Skip):
            kept[name] = answer
        else:
            steps.append(answer)
    return Plan(tuple(steps), kept)


def _decide(
    site: ConvSite, refused: Mapping[str, Skip], recipe: Recipe, selection: Selection
) -> Candidate | Skip:
    objection = selection.objection(site.name)
    if objection:
        return Skip(objection)
    return refused.get(site.name) or propose(site, recipe)


def _by_name(
    entries: Iterable[Entry], known: Mapping[str, ConvSite], refused: Mapping[str, Skip]
) -> dict[str, Entry]:
    """Entries by the names of their sites, each of which is there once."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.name in found:
            raise InputError(f"site {entry.name}: it is in the plan twice")
        if entry.name not in known and entry.name in refused:
            raise _unfollowed(entry, refused[entry.name])
        if entry.name not in known:
            close = get_close_matches(entry.name, known, 1)
            hint = f"did you mean {close[0]}?" if close else "analyze lists their names"
            raise InputError(f"site {entry.name}: the network has no such convolution; {hint}")
        found[entry.name] = entry
    return found


def _repeat(
    site: ConvSite, refused: Mapping[str, Skip], entry: Entry | None, selection: Selection
) -> Candidate | Skip:
    """What the plan asks for, or why the site stays; a plan that cannot be followed is an error."""
    if objection := selection.objection(site.name):
        return Skip(objection)
    if entry is None:
        return Skip("not in the plan")
    answer = refused.get(site.name) or propose(site, entry.recipe)
    if isinstance(answer, Skip):
        raise _unfollowed(entry, answer)
    return answer


def _unfollowed(entry: Entry, skip: Skip) -> InputError:
    return InputError(
        f"site {entry.name}: no {entry.recipe}: {skip.reason}; "
        "give it another recipe, or take it out of the plan"
    )


def _groups(
    steps: Iterable[Candidate], wanted: Mapping[str, Entry]
) -> Iterator[tuple[str, Channels]]:
    for step in steps:
        channels = wanted[step.site.name].channels
        if channels is None:
            continue
        if reason := channels.misfit(step.site, step.recipe):
            raise InputError(
                f"site {step.site.name}: channels: {reason}; "
                "mend the lists, or take them out to have the groups found anew"
            )
        yield step.site.name, channels.ascending()


def _flaw(lists: Lists) -> str | None:
    """Why these groups do not share out 0 … n - 1 equally, if so."""
    sizes = sorted({len(group) for group in lists})
    if not sizes or sizes[0] == 0:
        return "a list without channels" if sizes else "no lists"
    if len(sizes) > 1:
        return f"lists of {sizes[0]} and of {sizes[-1]} channels, where all need as many"
    count, seen = len(lists) * sizes[0], set[int]()
    for channel in (channel for group in lists for channel in group):
        if channel in seen:
            return f"channel {channel} is there twice"
        if not 0 <= channel < count:
            return f"channel {channel} is not one of the {count}, which are counted from 0"
        seen.add(channel)
    return None


def _stray(lists: Lists, count: int, groups: int) -> str | None:
    """Why groups that share out their channels do not share out those of G groups, if so."""
    listed = len(lists) * len(lists[0])
    if listed != count:
        return f"{listed} channels, and the convolution has {count}"
    share, own = len(lists) // groups, count // groups
    for index, group in enumerate(lists):
        for channel in group:
            if channel // own != index // share:
                first = index // share * own
                return (
                    f"channel {channel} is in list {index + 1}, which lies in a group of the "
                    f"convolution that holds {first} to {first + own - 1}"
                )
    return None


def _parts(lists: Lists, groups: int) -> Iterator[Lists]:
    share = len(lists) // groups
    own = share * len(lists[0])
    for part in range(groups):
        mine = lists[part * share : (part + 1) * share]
        yield tuple(tuple(channel - part * own for channel in group) for group in mine)


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    """A name also selects itself, though it may hold what globs give a meaning to."""
    return any(name == glob or fnmatchcase(name, glob) for glob in globs)

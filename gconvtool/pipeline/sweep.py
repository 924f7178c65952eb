"""What can be had for what: conversions from the gentlest to the fastest, measured as a whole.

All candidates are weighed once (`agenda`); that is most of the work, and the same for one plan and
for ten. The conversions that are chosen are made one after the other (`points`), and what is done
is in the `ledger` before the next thing is begun.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gconvtool import files, goals
from gconvtool.errors import InputError, VerificationError
from gconvtool.facts import Skip
from gconvtool.graph.load import external_files
from gconvtool.limits import Objective
from gconvtool.pipeline.agenda import agenda
from gconvtool.pipeline.convert import RANDOM, SAMPLES
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.imprint import imprint
from gconvtool.pipeline.ledger import Ledger
from gconvtool.pipeline.points import Maker, Names, loss
from gconvtool.pipeline.source import Feed, Model, Network, Progress, count, silent
from gconvtool.plan import Selection
from gconvtool.results import Sweep, SweepPoint
from gconvtool.runtime.cache import SWEEPS, default_folder
from gconvtool.runtime.inputs import ImageOptions
from gconvtool.runtime.session import onnxruntime

POINTS, MOST_POINTS = 8, 50
LEDGER = "sweep.json"


@dataclass(frozen=True)
class _Folder:
    """Where models, plans and the ledger are written; nowhere, if it is None."""

    path: Path | None

    def names(self, number: int) -> Names:
        """The files of a point."""
        if self.path is None:
            return Names()
        stem = self.path / f"point-{number}"
        return Names(stem.with_suffix(".onnx"), stem.with_suffix(".plan.json"))

    def has(self, number: int) -> bool:
        """All files of a point are there."""
        names = self.names(number)
        return all(path is None or path.is_file() for path in (names.model, names.plan))

    def make(self) -> None:
        """See that it is there."""
        try:
            if self.path is not None:
                self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--write-all {self.path}: no folder can be made there: {error.strerror or error}"
            ) from error

    def require(self, points: int, sources: set[Path], force: bool) -> None:
        """Refuse files that exist before any work is done for them."""
        if self.path is None:
            return
        names = [self.names(number) for number in range(1, points + 1)]
        for path in (
            self.path / LEDGER,
            *(file for one in names for file in (one.model, one.plan)),
        ):
            if path is not None:
                files.check_target(path, sources, force)


def sweep(
    model: Model,
    *,
    data: str,
    points: int = POINTS,
    objective: Objective = "latency",
    test_data: str | None = None,
    samples: int = SAMPLES,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    write_all: str | Path | None = None,
    force: bool = False,
    remember: bool = True,
    seed: int = 0,
    threads: int | None = None,
    provider: str = "cpu",
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    images: ImageOptions = ImageOptions(),  # noqa: B008  frozen
    progress: Progress = silent,
) -> Sweep:
    """Convert a network several times, from the least loss to the least cost, and measure each.

    What is done is kept, in `write_all` or else in the user's cache folder: the same call goes on
    where an earlier one was interrupted, and answers at once where none was.

    Args:
        model: a file or a loaded model; neither is changed.
        data: what to fit to and to judge by, see `gconvtool.runtime.inputs`.
        points: how many conversions, or as many as there are.
        objective: what is made small: `latency`, `macs`, `params` or `size`.
        test_data: what to judge by instead of `data`.
        samples: how many samples of `data` to use.
        only: globs on site names; only those are rewritten.
        skip: globs on site names that are left alone.
        write_all: a folder for all models and their plans; it is made if it is not there.
        force: replace what the folder holds of another sweep, or of anything else.
        remember: go on from what was kept, and keep measured times of convolutions; if not, all is
            done anew.
        seed: decides samples and searches; the same seed gives the same files for the same choices.
        threads: for onnxruntime; its own choice if None.
        provider: what recipes and conversions are timed on, and conversions judged on.
        dims: sizes for open dimensions.
        input_shapes: whole shapes by input name.
        images: how pixels become numbers, where data are images.
        progress: called along the way.

    Raises:
        InputError: the model, the data, an option or the folder cannot be used.
        VerificationError: nothing is to be gained.
        MissingError: onnxruntime is not installed, or the disk is full.
    """
    if not 1 <= points <= MOST_POINTS:
        raise InputError(f"--points {points}: 1 to {MOST_POINTS}")
    wanted = goals.goal(objective=objective).objective
    feed = Feed(data, images, dims or {}, input_shapes or {})
    selection = Selection(tuple(only), tuple(skip))
    request = Request(
        Network.open(model),
        None,
        selection,
        feed,
        samples,
        seed,
        threads,
        progress,
        provider=provider,
    )
    onnxruntime()  # before any work that would be lost without it
    split = request.split()
    assert split is not None, "there are data"
    test = None
    if test_data is not None:
        test = replace(feed, data=test_data).samples(request.network, RANDOM, seed)
    folder = _Folder(None if write_all is None else Path(write_all))
    folder.make()
    mark = imprint(request, split, test, wanted, points)
    ledger = Ledger(_ledger_path(folder, mark, remember), mark, anew=not remember)
    folder.require(points, _sources(request, test_data), force or ledger.ours)
    todo = ledger.agenda or ledger.note(agenda(request, wanted, points, remember=remember))
    return _swept(Maker(request, wanted, todo, split, test), folder, ledger)


def _swept(maker: Maker, folder: _Folder, ledger: Ledger) -> Sweep:
    network, todo = maker.request.network, maker.agenda
    answers = {n: _done(maker, n, folder, ledger) for n in range(1, len(todo.intents) + 1)}
    made = [answer for answer in answers.values() if isinstance(answer, SweepPoint)]
    left_out = {n: answer for n, answer in answers.items() if isinstance(answer, Skip)}
    if not made:
        raise VerificationError(f"{network.name}: nothing is to be gained: {left_out[1].reason}")
    warnings = (
        *network.stand_in(),
        *todo.warnings,
        *(f"point {number} is left out: {skip.reason}" for number, skip in left_out.items()),
        *(warning for point in made for warning in point.warnings),
    )
    return Sweep(
        network.name,
        maker.objective,
        loss(made[0].drift)[0],
        count(network, maker.request.counting(maker.split)).totals,
        tuple(made),
        todo.candidates,
        (maker.test or maker.split.fit).source,
        tuple(dict.fromkeys(warnings)),
    )


def _done(maker: Maker, number: int, folder: _Folder, ledger: Ledger) -> SweepPoint | Skip:
    """What came of an intent; if it is done, that is only read."""
    names, done = folder.names(number), ledger.point(number)
    if done is None or not (isinstance(done, Skip) or folder.has(number)):
        done = maker.made(number, names)
        ledger.add(number, done)
    if isinstance(done, Skip) or names.model is None:
        return done
    return replace(done, model=str(names.model), plan=str(names.plan))


def _ledger_path(folder: _Folder, mark: str, remember: bool) -> Path | None:
    """Beside the models, or else in the user's cache folder, if that can be written to."""
    if folder.path is not None:
        return folder.path / LEDGER
    if not remember:
        return None
    kept = default_folder() / SWEEPS
    with suppress(OSError):
        kept.mkdir(parents=True, exist_ok=True)
    return kept / f"{mark}.json" if os.access(kept, os.W_OK) else None


def _sources(request: Request, test_data: str | None) -> set[Path]:
    """Files that are read, and so never written to."""
    read = {Path(request.network.name), *external_files(request.network.model)}
    return read | {Path(source) for source in (request.feed.data, test_data) if source}

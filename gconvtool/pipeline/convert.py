"""From a dense network to a checked, cheaper one with fitted weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gconvtool import files
from gconvtool.errors import InputError, VerificationError
from gconvtool.graph.load import external_files
from gconvtool.pipeline.rewrite import Request, Rewritten, rehearse, rewrite
from gconvtool.pipeline.source import BATCH, Feed, Model, Network, Progress, drift, silent
from gconvtool.plan import Selection
from gconvtool.recipes import Recipe
from gconvtool.results import Conversion
from gconvtool.runtime.inputs import Data, ImageOptions
from gconvtool.runtime.session import Session, onnxruntime

CHECKED = 1024
"""Samples that the result is judged by, where there are more and none were named."""
RANDOM = 8
"""Random inputs to run on where there are no data."""


def convert(
    model: Model,
    output: str | Path | None = None,
    *,
    recipe: Recipe,
    data: str | None = None,
    test_data: str | None = None,
    samples: int = 256,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    dry_run: bool = False,
    force: bool = False,
    seed: int = 0,
    threads: int | None = None,
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    images: ImageOptions = ImageOptions(),  # noqa: B008  frozen
    progress: Progress = silent,
) -> Conversion:
    """Rewrite a network's dense convolutions, fit the new weights, check and write the result.

    Args:
        model: a file or a loaded model; neither is changed.
        output: where to write; nothing is written if None, or with `dry_run`.
        recipe: what the convolutions become, for example `Grouped(4)` or `Separable(2)`.
        data: what to fit to, see `gconvtool.runtime.inputs`. Without it only the weights are used.
        test_data: what to judge the result by; by default what of `data` was not fitted to.
        samples: how many samples of `data` to use; a fifth of them is held out.
        only: globs on site names; only those are rewritten.
        skip: globs on site names that are left alone.
        dry_run: plan and count, fit and write nothing.
        force: replace an output that exists.
        seed: decides samples and searches; the same seed gives the same file.
        threads: for onnxruntime; its own choice if None.
        dims: sizes for open dimensions, to count with.
        input_shapes: whole shapes by input name, to count with.
        images: how pixels become numbers, where data are images.
        progress: called after every site.

    Raises:
        InputError: the model, the data, the recipe or the output path cannot be used.
        VerificationError: the rewritten model does not do the same job; nothing is written.
        MissingError: onnxruntime is not installed, or the disk is full.
    """
    network = Network.open(model)
    target = None if output is None or dry_run else Path(output)
    if target is not None:
        sources = {Path(network.name), *external_files(network.model)}
        sources.update(Path(source) for source in (data, test_data) if source)
        files.check_target(target, sources, force)
    feed = Feed(data, images, dims or {}, input_shapes or {})
    selection = Selection(tuple(only), tuple(skip))
    request = Request(network, recipe, selection, feed, samples, seed, threads, progress)
    if dry_run:
        return rehearse(request)
    onnxruntime()  # before any work that would be lost without it
    test = replace(feed, data=test_data).samples(network, RANDOM, seed) if test_data else None
    rewritten = rewrite(request)
    judged = _judged(request, rewritten, test)
    if target is None:
        return judged
    files.write(rewritten.content, target, lambda path: _loads(path, threads))
    return replace(judged, output=str(target))


def _judged(request: Request, rewritten: Rewritten, test: Data | None) -> Conversion:
    """The conversion with its drift, on samples that were not fitted to."""
    network = request.network
    data = _unseen(request, rewritten, test)
    sessions = [
        Session(content, threads=request.threads, name=network.name)
        for content in (network.content(), rewritten.content)
    ]
    measured = drift(sessions[0], sessions[1], data, network.batch(BATCH))
    return replace(
        rewritten.conversion,
        drift=measured,
        drift_source=data.source,
        drift_unseen=test is None and request.feed.data is not None,
    )


def _unseen(request: Request, rewritten: Rewritten, test: Data | None) -> Data:
    if test is not None:
        return test
    if rewritten.unseen is not None and len(rewritten.unseen):
        return rewritten.unseen.take(slice(CHECKED))
    return replace(request.feed, data=None).samples(request.network, RANDOM, request.seed)


def _loads(path: Path, threads: int | None) -> None:
    """The written file is read back before it takes its place."""
    try:
        Session(path, threads=threads)
    except InputError as error:
        raise VerificationError(f"not written: {error}") from error

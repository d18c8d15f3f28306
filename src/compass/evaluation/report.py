"""Comparisons of codecs for `compass report`: tables of BD-rate and curves, from any files of results."""

from __future__ import annotations

from collections.abc import Sequence

from compass.errors import InputError
from compass.evaluation import plots
from compass.evaluation.bdrate import layer_bd_rate
from compass.evaluation.document import Figure, Section, Table, Text, percent
from compass.evaluation.results import Result

SUBJECT = "compass"


def comparisons(results: Sequence[Result], qualities: Sequence[float] = ()) -> list[Section]:
    """One section for every data set and pyramid on which more than one codec was evaluated, image by image.

    qualities: those of this project's codec that count in a BD-rate, see `Result.points`. Raises InputError if codecs
    were measured on different images of a data set.
    """
    sections = []
    for group in group_by_pyramid(results):
        _check_same_pictures(group)
        if len(group) > 1 and any(result.images for result in group):
            sections.append(_comparison(group, [r for r in results if r.reference], qualities))
    return sections


def group_by_pyramid(results: Sequence[Result]) -> list[list[Result]]:
    """Results of the same data set and the same layers together; published curves aside."""
    groups: dict[tuple[str, tuple[float, ...]], list[Result]] = {}
    for result in results:
        if result.reference:
            continue
        key = (result.data_set.lower(), tuple(round(scale, 3) for scale in result.scales))
        groups.setdefault(key, []).append(result)
    return list(groups.values())


def _check_same_pictures(group: list[Result]) -> None:
    """Of recorded points the images may be unknown."""
    known = [(r.name, {row["picture"] for row in r.images}) for r in group if r.images]
    for name, images in known[1:]:
        if images != known[0][1]:
            raise InputError(f"the results of {known[0][0]} and {name} are of different images")


def _comparison(group: list[Result], published: Sequence[Result], qualities: Sequence[float]) -> Section:
    """BD-rate of this project's codec, or of the first one, against each of the others, layer by layer."""
    subject = next((r for r in group if r.name == SUBJECT), group[0])

    def references(layer: int) -> list[Result]:
        same = [r for r in published if r.data_set.lower() == subject.data_set.lower()]
        return same if subject.scales[layer] == 1.0 else []

    rows = []
    for other in group:
        if other is not subject:
            rates = [layer_bd_rate(other, subject, k, qualities) for k in range(len(subject.scales))]
            rows.append([other.name, *map(percent, rates), other.source])
    scales = [f"{scale:.4g}" for scale in subject.scales]
    return Section(
        f"{subject.data_set}, layers {', '.join(scales)}",
        [
            Text(
                f"BD-rate of {subject.name} against each codec: negative where {subject.name} needs fewer bytes for "
                "the same PSNR. Bytes are those of all layers up to the one in the column."
            ),
            Table(["against", *(f"layer at {scale}" for scale in scales), "source"], rows, right=True),
            *(
                Figure(plots.curves([*group, *references(k)], k, f"{subject.data_set}, layer at {scale}"))
                for k, scale in enumerate(scales)
            ),
        ],
    )

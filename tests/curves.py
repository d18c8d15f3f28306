"""Made-up results of codecs."""

from __future__ import annotations

from compass.evaluation.results import Result

PSNRS = (28.0, 30.0, 32.0, 34.0)


def result(name: str, factor: float, scales=(0.25, 0.5, 1.0), **changes) -> Result:
    """A codec whose every layer needs `factor` times some usual rates."""
    points = [(factor * rate, fidelity) for rate, fidelity in zip((0.2, 0.35, 0.6, 1.0), PSNRS, strict=True)]
    values = dict(
        name=name, source="measured", data_set="Kodak", scales=scales, settings="", qualities=(1.0, 2.0, 3.0, 4.0),
        layers=(points,) * len(scales),
    )  # fmt: skip
    return Result(**(values | changes))

"""Any codec of single images as a codec of pyramids: one file per layer, or each size as if it were the only one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compass.evaluation.codecs.contract import ImageCodec, LayerResult, Settings
from compass.picture.pyramid import Pixels


@dataclass(frozen=True)
class Separate:
    """Codes every layer alone. Simulcast counts the files of all smaller layers too, single-layer coding its own."""

    codec: ImageCodec
    simulcast: bool

    @property
    def name(self) -> str:
        return f"{'simulcast' if self.simulcast else 'single'}-{self.codec.name}"

    @property
    def qualities(self) -> Sequence[float]:
        return self.codec.qualities

    def settings(self) -> Settings:
        return self.codec.settings()

    def code(self, pyramid: Sequence[Pixels], quality: float) -> list[LayerResult]:
        layers: list[LayerResult] = []
        for image in pyramid:
            coded = self.codec.code(image, quality)
            total = coded.bytes
            if layers and self.simulcast:
                total += layers[-1].accumulated_bytes
                coded = coded._replace(encoding_time=coded.encoding_time + layers[-1].coded.encoding_time)
            layers.append(LayerResult(coded, total))
        return layers

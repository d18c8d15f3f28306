"""SHVC, the scalable extension of HEVC, by its reference encoder SHM 12: all intra, 4:4:4, one access unit.

The quality is the QP of the last layer; each layer below it has three more, the best of the offsets that were tried for
the recorded points (results/recorded). Images are the encoder's own reconstructions, so there is no decoding time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compass.evaluation.codecs import programs
from compass.evaluation.codecs.contract import ImageResult, LayerResult, Settings, timed
from compass.picture.pyramid import Pixels

ENCODER = "TAppEncoderStatic"
_QP_STEP = 3
_TOOLS = {
    "FramesToBeEncoded": "1",
    "IntraPeriod": "1",
    "GOPSize": "1",
    "InputBitDepth": "8",
    "InternalBitDepth": "8",
    "ChromaFormatIDC": "444",
    "Profile": "main-RExt",
    "MaxCUWidth": "64",
    "MaxCUHeight": "64",
    "MaxPartitionDepth": "4",
    "QuadtreeTULog2MaxSize": "5",
    "QuadtreeTULog2MinSize": "2",
    "QuadtreeTUMaxDepthIntra": "3",
    "RDOQ": "1",
    "RDOQTS": "1",
    "SignHideFlag": "1",
    "TransformSkip": "1",
    "TransformSkipFast": "1",
    "SAO": "1",
    "AMP": "1",
    "CrossComponentPrediction": "1",
    "SEIDecodedPictureHash": "0",
    "NonHEVCBase": "0",
    "ScalabilityMask1": "0",
    "ScalabilityMask2": "1",
    "ScalabilityMask3": "0",
    "PhaseAlignment": "1",
}


@dataclass(frozen=True)
class SHVC:
    name: str = "shvc"
    qualities: Sequence[float] = (22, 27, 30, 33, 37, 42)

    def settings(self) -> Settings:
        programs.find(ENCODER)
        return {"program": programs.first_line(ENCODER, "--help", containing="SHM"), "configuration": _TOOLS}

    def code(self, pyramid: Sequence[Pixels], quality: float) -> list[LayerResult]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for k, image in enumerate(pyramid):
                (folder / f"{k}.yuv").write_bytes(to_yuv(image).tobytes())
            (folder / "layers.cfg").write_text(configuration(folder, pyramid, round(quality)))
            _, encoding = timed(lambda: programs.run(ENCODER, "-c", folder / "layers.cfg"))
            sizes = layer_sizes((folder / "coded.bin").read_bytes(), len(pyramid))
            layers = []
            for k, (image, end) in enumerate(zip(pyramid, np.cumsum(sizes), strict=True)):
                planes = np.frombuffer((folder / f"{k}.out").read_bytes(), np.uint8).reshape(3, *image.shape[:2])
                layers.append(LayerResult(ImageResult(sizes[k], to_rgb(planes), encoding, None), int(end)))
            return layers


def configuration(folder: Path, pyramid: Sequence[Pixels], qp: int) -> str:
    """A configuration file for layers `k.yuv` of the folder; `k.out` and `coded.bin` are what the encoder writes."""
    lines = {**_TOOLS, "BitstreamFile": folder / "coded.bin", "NumLayers": len(pyramid)}
    for k, image in enumerate(pyramid):
        height, width = image.shape[:2]
        lines |= {
            f"InputFile{k}": folder / f"{k}.yuv",
            f"ReconFile{k}": folder / f"{k}.out",
            f"SourceWidth{k}": width,
            f"SourceHeight{k}": height,
            f"FrameRate{k}": 1,
            f"ConformanceMode{k}": 1,  # pads to whole coding units
            f"RepFormatIdx{k}": k,
            f"IntraPeriod{k}": 1,
            f"QP{k}": qp + _QP_STEP * (len(pyramid) - 1 - k),
        }
        if k:
            lines |= {
                f"NumSamplePredRefLayers{k}": 1,
                f"SamplePredRefLayerIds{k}": k - 1,
                f"NumMotionPredRefLayers{k}": 1,
                f"MotionPredRefLayerIds{k}": k - 1,
                f"NumActiveRefLayers{k}": 1,
                f"PredLayerIds{k}": 0,
            }
    return "".join(f"{key} : {value}\n" for key, value in lines.items())


def layer_sizes(stream: bytes, count: int) -> list[int]:
    """Bytes of each layer's NAL units, their start codes included (ITU-T H.265, B.2 and 7.3.1.2: nuh_layer_id)."""
    sizes = [0] * count
    starts = []
    position = stream.find(b"\0\0\1")
    while position >= 0:
        starts.append(position - (position > 0 and stream[position - 1] == 0))
        position = stream.find(b"\0\0\1", position + 3)
    for start, end in zip(starts, [*starts[1:], len(stream)], strict=True):
        first = stream.index(1, start) + 1
        layer = (stream[first] & 1) << 5 | stream[first + 1] >> 3
        sizes[min(layer, count - 1)] += end - start
    return sizes


_KR, _KB = 0.2126, 0.0722  # ITU-R BT.709


def to_yuv(image: Pixels) -> NDArray[np.uint8]:
    """[H, W, 3] in RGB -> [3, H, W] in Y'CbCr of full range, BT.709."""
    r, g, b = image.astype(np.float64).transpose(2, 0, 1)
    y = _KR * r + (1 - _KR - _KB) * g + _KB * b
    planes = np.stack([y, (b - y) / (2 - 2 * _KB) + 128, (r - y) / (2 - 2 * _KR) + 128])
    return np.clip(np.rint(planes), 0, 255).astype(np.uint8)


def to_rgb(planes: NDArray[np.uint8]) -> Pixels:
    """Inverse of `to_yuv`, to the nearest."""
    y, cb, cr = planes.astype(np.float64)
    r = y + (2 - 2 * _KR) * (cr - 128)
    b = y + (2 - 2 * _KB) * (cb - 128)
    g = (y - _KR * r - _KB * b) / (1 - _KR - _KB)
    return np.clip(np.rint(np.stack([r, g, b], axis=-1)), 0, 255).astype(np.uint8)

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

from compass.errors import InputError
from compass.evaluation.codecs import programs
from compass.evaluation.codecs.contract import ImageResult, LayerResult, Settings, timed
from compass.picture.pyramid import Pixels

ENCODER = "TAppEncoderStatic"
_QP_STEP = 3
_MOST = 31  # sixteenths of a sample, of luma (ITU-T H.265, F.7.4.3.3.5)
_TOOLS = {
    "FramesToBeEncoded": 1,
    "GOPSize": 1,
    "InputChromaFormat": 444,
    "RDOQ": 1,
    "RDOQTS": 1,
    "SignHideFlag": 1,
    "TransformSkip": 1,
    "TransformSkipFast": 1,
    "AMP": 1,
    "CrossComponentPrediction": 1,
    "ExplicitResidualDPCM": 1,
    "ImplicitResidualDPCM": 1,
    "ResidualRotation": 1,
    "SingleSignificanceMapContext": 1,
    "GolombRiceParameterAdaptation": 1,
    "HighPrecisionPredictionWeighting": 1,
    "SEIDecodedPictureHash": 0,
    "NonHEVCBase": 0,
    "ScalabilityMask1": 0,
    "ScalabilityMask2": 1,
    "ScalabilityMask3": 0,
    "NumProfileTierLevel": 3,
    "Profile0": "main_444",
    "Profile1": "main_444",
    "Profile2": "scalable-main_444",
    "ProfileCompatibility7": "main",  # of no profile that is used: SHM 12.1 takes no more than two layers otherwise
    "NumLayerSets": 2,
    "NumOutputLayerSets": 2,
    "DefaultTargetOutputLayerIdc": 1,
    "NumOutputLayersInOutputLayerSet": 1,
}
_TOOLS_OF_A_LAYER = {
    "FrameRate": 1,
    "IntraPeriod": 1,
    "InputBitDepth": 8,
    "InternalBitDepth": 8,
    "ConformanceMode": 1,  # pads to whole coding units
    "MaxCUWidth": 64,
    "MaxCUHeight": 64,
    "MaxPartitionDepth": 4,
    "QuadtreeTULog2MaxSize": 5,
    "QuadtreeTULog2MinSize": 2,
    "QuadtreeTUMaxDepthInter": 3,
    "QuadtreeTUMaxDepthIntra": 3,
    "SAO": 1,
}


@dataclass(frozen=True)
class SHVC:
    name: str = "shvc"
    qualities: Sequence[float] = (22, 27, 30, 33, 37, 42)

    def settings(self) -> Settings:
        programs.find(ENCODER)
        two = [np.zeros((2, 2, 3), np.uint8)] * 2
        return {
            "program": programs.first_line(ENCODER, "--help", containing="SHM"),
            "configuration": f"as for two layers of one size, QP 0: {configuration(Path(), two, 0)}",
        }

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
    count = len(pyramid)
    lines = {
        **_TOOLS,
        "BitstreamFile": folder / "coded.bin",
        "NumLayers": count,
        "NumLayerInIdList1": count,
        "LayerSetLayerIdList1": " ".join(map(str, range(count))),
        "ListOfOutputLayers1": count - 1,
        "ListOfProfileTierLevelOls1": " ".join(["1", *["2"] * (count - 1)]),
    }
    for k, image in enumerate(pyramid):
        height, width = image.shape[:2]
        lines |= {f"{tool}{k}": value for tool, value in _TOOLS_OF_A_LAYER.items()}
        lines |= {
            f"InputFile{k}": folder / f"{k}.yuv",
            f"ReconFile{k}": folder / f"{k}.out",
            f"SourceWidth{k}": width,
            f"SourceHeight{k}": height,
            f"RepFormatIdx{k}": k,
            f"LayerPTLIndex{k}": min(k, 1) + 1,
            f"QP{k}": qp + _QP_STEP * (count - 1 - k),
        }
        if k:
            lower_height, lower_width = pyramid[k - 1].shape[:2]
            across, down = _phase(width, lower_width), _phase(height, lower_height)
            lines |= {
                f"NumSamplePredRefLayers{k}": 1,
                f"SamplePredRefLayerIds{k}": k - 1,
                f"NumMotionPredRefLayers{k}": 1,
                f"MotionPredRefLayerIds{k}": k - 1,
                f"NumActiveRefLayers{k}": 1,
                f"PredLayerIds{k}": 0,
                f"NumRefLocationOffsets{k}": 1,
                f"RefLocationOffsetLayerId{k}": k - 1,
                f"ResamplePhaseSetPresentFlag{k}": 1,
                f"PhaseHorLuma{k}": across,
                f"PhaseVerLuma{k}": down,
                f"PhaseHorChroma{k}": across,
                f"PhaseVerChroma{k}": down,
            }
    return "".join(f"{key} : {value}\n" for key, value in lines.items())


def _phase(size: int, lower: int) -> int:
    """Sixteenths of a sample by which the reference is shifted, so that both images have the same centre.

    Sample x lies at (x + 1/2) lower / size - 1/2 of the layer below (ITU-T H.265, H.8.1.4.1).
    """
    phase = round(8 * size / lower) - 8
    if phase > _MOST:
        raise InputError(f"SHVC has no layer {size / lower:.3g} times as large as the one below it")
    return phase


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

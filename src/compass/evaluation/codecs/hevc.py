"""HEVC intra by x265 through ffmpeg: one key frame, 4:4:4, tuned for PSNR. The quality is the QP: smaller is better."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compass.evaluation.codecs import programs
from compass.evaluation.codecs.contract import ImageResult, Settings, UnavailableError, timed
from compass.picture.pyramid import Pixels

_QUIET = ("ffmpeg", "-nostdin", "-y", "-loglevel", "error")
_TO_YUV = "scale=in_range=full:out_range=full:out_color_matrix=bt709:flags=accurate_rnd+full_chroma_int+bitexact"
_TO_RGB = "scale=in_color_matrix=bt709:in_range=full:out_range=full:flags=accurate_rnd+full_chroma_int+bitexact"
_ENCODER = ("-c:v", "libx265", "-preset", "veryslow", "-tune", "psnr", "-frames:v", "1")
_PARAMETERS = "keyint=1:log-level=none:info=0:range=full:colormatrix=bt709:frame-threads=1:pools=none"


def _encode(rate: str) -> tuple[str, ...]:
    return ("-pix_fmt", "yuv444p", "-vf", _TO_YUV, *_ENCODER, "-x265-params", f"{rate}:{_PARAMETERS}")


@dataclass(frozen=True)
class HEVC:
    name: str = "hevc"
    qualities: Sequence[float] = (22, 27, 30, 33, 37, 42)

    def settings(self) -> Settings:
        programs.find("ffmpeg")
        encoders = subprocess.run(["ffmpeg", "-hide_banner", "-encoders"], capture_output=True, text=True, check=False)
        if "libx265" not in encoders.stdout:
            raise UnavailableError("this ffmpeg has no libx265")
        return {
            "program": programs.first_line("ffmpeg", "-version"),
            "command": " ".join(
                ["ffmpeg -pix_fmt yuv444p -vf", _TO_YUV, *_ENCODER, "-x265-params qp=QUALITY:", _PARAMETERS]
            ),
        }

    def code(self, image: Pixels, quality: float) -> ImageResult:
        with tempfile.TemporaryDirectory() as folder:
            source, coded, decoded = (Path(folder, name) for name in ("in.ppm", "coded.hevc", "out.rgb"))
            programs.write_ppm(source, image)
            rate = f"qp={round(quality)}"
            to_rgb = ("-vf", _TO_RGB, "-pix_fmt", "rgb24", "-f", "rawvideo")
            _, encoding = timed(lambda: programs.run(*_QUIET, "-i", source, *_encode(rate), coded))
            _, decoding = timed(lambda: programs.run(*_QUIET, "-i", coded, *to_rgb, decoded))
            pixels = np.frombuffer(decoded.read_bytes(), np.uint8).reshape(image.shape)
            return ImageResult(coded.stat().st_size, pixels, encoding, decoding)

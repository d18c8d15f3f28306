"""What the files of results/ hold that the measurements of the product write and report.py reads."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from compass.evaluation.records import ModelRecord


class Operation(TypedDict):
    """What is timed: encode, decode, info, import, help, python."""

    operation: str
    layers: NotRequired[int]  # of the file that is encoded
    layer: NotRequired[int]  # that is decoded


class CallRecord(Operation):
    """An operation in a process that has everything loaded."""

    seconds: float


class ProcessRecord(Operation):
    """An operation as a whole process."""

    seconds: float
    peak_mb: float


class ModelSize(TypedDict):
    """A model file of the package."""

    name: str
    bytes: int


class Multiplications(TypedDict):
    """Cost of a network, by the pixels of the layer that is coded."""

    profile: str
    layer: str  # "base" or "enhancement"
    operation: str
    ratio: NotRequired[float]  # to the layer below
    kmac_per_pixel: float


class Speed(TypedDict):
    """results/speed.json."""

    command: str
    picture: str
    runs: int
    processors: int | None
    machine: str
    processes: list[ProcessRecord]
    calls: list[CallRecord]
    models: list[ModelSize]
    multiplications: list[Multiplications]


class Prediction(TypedDict):
    """An image enlarged from its reduced and coded copy."""

    quality: float
    ratio: float
    method: str
    psnr_rgb: float


class LayerBytes(TypedDict):
    """Where the bytes of a layer go."""

    z: float
    y: float
    payload: float


class FileBytes(TypedDict):
    """Where the bytes of a file go."""

    quality: float
    header: float
    layers: list[LayerBytes]


class Layers(TypedDict):
    """results/layers.json."""

    command: str
    model: ModelRecord
    pictures: int
    predictions: list[Prediction]
    bytes: list[FileBytes]


class Shape(TypedDict):
    """A file of some number of layers, ratio or size."""

    name: str
    sizes: list[str]
    file_bytes: int
    header_bytes: int
    fixed_bytes: int
    bytes_per_layer: float
    payload_bytes: list[int]
    ideal_bytes: list[float]
    decodes_exactly: bool


class Shapes(TypedDict):
    """results/shapes.json."""

    command: str
    model: str
    rows: list[Shape]


class Effort(TypedDict):
    """Encoding one image with some effort, as a process."""

    effort: int
    seconds: float
    peak_mb: int
    bytes: int
    psnr: float


class Region(TypedDict):
    """Files of one image without and with a region of interest: bytes, and PSNR inside of it."""

    box: list[int]  # left, top, width, height
    effort: int
    plain: list[tuple[int, float]]
    with_region: list[tuple[int, float]]
    bd_rate: float
    same_bytes: list[float]  # of a plain file as large as one with the region; PSNR inside of it, and of the other


class Efforts(TypedDict):
    """results/effort.json."""

    command: str
    model: ModelRecord
    picture: str
    quality: float
    region: Region
    efforts: list[Effort]

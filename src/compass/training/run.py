"""One training run from a stage's name: nets, data, budget. What `compass train` calls."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from compass.errors import CompassError, InputError
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.layered import CompassNet, LayeredNet
from compass.nets.mei import MeiNet
from compass.nets.profiles import PEERS, PROFILES
from compass.training.data import Crops, image_tensor, read_images
from compass.training.device import TrainingDevice, close_device, open_device
from compass.training.klt import recentre_for_residuals
from compass.training.loop import Schedule, Trainer
from compass.training.repeat import repeat
from compass.training.restore import is_model, weights_of_model
from compass.training.stages import BaseStage, EnhancementStage, LayersStage, Metrics, PredictorStage, Stage
from compass.training.widen import widen

_START = re.compile(r"(?:(base|predictor|residual)=(?:(base|residual|narrow):)?)?(.*)")
_WIDER = {"base": widen, "predictor": repeat}  # parts that start from those of a narrower profile
STAGES = ("base", "predictor", "residual", "joint", "layers")


@dataclass(frozen=True)
class Run:
    """The settings of one training run."""

    stage: str
    profile: str
    data: list[Path]
    valid: list[Path]
    folder: Path
    schedule: Schedule
    crop: int
    batch: int
    starts: list[str]  # weights to start from, see `load_parts`
    threads: int = 1
    limit: int | None = None  # images to read
    subsampled: float = 0.0  # share of the crops with chroma of half the resolution
    quality: float | None = None  # the only one to train; None for all
    precision: str | None = None  # of `compass.training.device.PRECISIONS`; None for the device's
    compile: bool = False
    pause: float | None = None  # minutes after which to stop, to be resumed


def build(profile: str) -> CompassNet:
    """The untrained networks of a profile; one that is a base codec alone has no predictor and no residual codec.

    Raises InputError on an unknown name.
    """
    if profile in PEERS:
        raise InputError(f"the profile {profile!r} makes no files")
    if profile not in PROFILES:
        raise InputError(f"there is no profile {profile!r}, only {', '.join((*PROFILES, *PEERS))}")
    return PROFILES[profile].build()


def build_for_training(profile: str) -> LayeredNet:
    """The untrained networks of a profile, or of a peer. Raises InputError on an unknown name."""
    return PEERS[profile]() if profile in PEERS else build(profile)


def load_parts(net: nn.Module, starts: list[str]) -> None:
    """Loads weights.pt files of earlier runs, or model files.

    Raises InputError if a file is missing, is none of weights, or is of another profile (or a model file of a profile
    whose weights it does not hold, see `weights_of_model`).
    `FILE` loads all parts, `base=FILE` one of them, `residual=base:FILE` one from another part's weights,
    `base=narrow:FILE` one from that of a narrower profile, see `compass.training.widen`, and so
    `predictor=narrow:FILE`, see `compass.training.repeat`.
    """
    for start in starts:
        match = _START.fullmatch(start)
        assert match is not None  # the pattern ends in .*
        target, source, path = match.groups()
        try:
            if is_model(Path(path)):
                weights = weights_of_model(Path(path))
            else:
                weights = torch.load(path, map_location="cpu", weights_only=True)
        except CompassError:
            raise
        except Exception as error:  # a file of another kind can make the loader raise anything
            reason = getattr(error, "strerror", None) or "not a file of weights"
            raise InputError(f"{path} cannot be loaded: {reason}") from None
        narrow = source == "narrow"
        prefix = f"{target if narrow else source or target}." if target else ""
        part = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        try:
            module = net.get_submodule(target or "")
        except AttributeError:
            raise InputError(f"the profile has no {target}") from None
        if narrow and target not in _WIDER:
            raise InputError("a residual codec starts from a base of its own width: --start residual=base:FILE")
        if not (_WIDER[target] if narrow else _load)(module, part):
            raise InputError(f"{path} holds weights of another profile")
        if target == "residual" and source == "base":
            recentre_for_residuals(module)


def _load(module: nn.Module, weights: dict[str, Tensor]) -> bool:
    """Whether the weights are of this module; it may be conditional where the one they come from was not."""
    try:
        missing, unexpected = module.load_state_dict(weights, strict=False)
    except RuntimeError:  # of another shape
        return False
    return not unexpected and all(".condition." in name for name in missing)


def train(run: Run) -> Metrics:
    """Runs, or resumes, the stage until its budget is spent; writes checkpoint.pt and weights.pt in its folder."""
    device = open_device(run.precision, run.threads, run.compile)
    try:
        torch.manual_seed(run.schedule.seed)
        net = build_for_training(run.profile)
        load_parts(net, run.starts)
        return make_trainer(run, net, device).train(run.pause)
    finally:
        close_device()


def make_trainer(run: Run, net: LayeredNet, device: TrainingDevice) -> Trainer:
    """The stage of a run with its images read, ready to train `net` in place."""
    net.to(device.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.requires_grad_(False)
    stage = make_stage(run, net)
    for name, parameter in stage.trained.named_parameters():
        parameter.requires_grad_(not name.endswith("quantiles"))
    for module in stage.trained.modules():
        if isinstance(module, HyperpriorCodec) and not module.log_scale and module.gain is not None:
            module.gain.scale_shift.requires_grad_(False)  # moves levels, and this codec has none
    valid = [image_tensor(image).to(device.torch_device) for image in read_images(run.valid)] if run.valid else []
    crops = Crops(read_images(run.data, run.limit), run.crop, device.torch_device, run.subsampled)
    return Trainer(stage, crops, valid, run.schedule, run.folder, device)


def make_stage(run: Run, net: LayeredNet) -> Stage:
    """Raises InputError if there is no such stage, or the profile has nothing that it could train."""
    if run.stage not in STAGES:
        raise InputError(f"there is no stage {run.stage!r}, only {', '.join(STAGES)}")
    if isinstance(net, MeiNet) != (run.stage == "layers"):
        raise InputError(f"the profile {run.profile} has no stage {run.stage}")
    if isinstance(net, MeiNet):
        return LayersStage(net, run.crop, run.batch, run.quality, klt=not run.starts)
    assert isinstance(net, CompassNet)
    if run.stage == "base":
        klt = PROFILES[run.profile].warm_start and not run.starts
        return BaseStage(net, run.crop, run.batch, run.quality, klt)
    if net.predictor is None:
        raise InputError(f"the profile {run.profile} is a base codec alone: there is no stage {run.stage} for it")
    if run.stage == "predictor":
        return PredictorStage(net, run.crop, run.batch)
    return EnhancementStage(net, run.crop, run.batch, run.quality, joint=run.stage == "joint")

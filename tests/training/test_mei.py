"""The scalable codec of Mei et al.: layers that stand on one another, and its training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compass.errors import InputError
from compass.nets.mei import MeiNet
from compass.nets.profiles import PEERS
from compass.training.device import open_device
from compass.training.klt import start_from_klt
from compass.training.run import build, load_parts, make_trainer
from compass.training.stages import LayersStage, reduce
from tests.training.test_training import make_run


@pytest.fixture(params=[False, True], ids=["original", "enhanced"])
def net(request) -> MeiNet:
    torch.manual_seed(0)
    return MeiNet(12, request.param).eval()


def test_sizes_that_do_not_divide(net):
    x = torch.rand(2, 3, 117, 75)
    pyramid = [reduce(x, (29, 18)), reduce(x, (58, 37)), x]
    quality = torch.tensor([1.0, 4.5])
    with torch.no_grad():
        layers = net(pyramid, [quality] * 3)
    assert [layer.image.shape for layer in layers] == [image.shape for image in pyramid]
    assert all((layer.bits_y > 0).all() for layer in layers)


def test_a_layer_sees_those_below_and_no_other(net):
    for prediction in net.predictions:
        torch.nn.init.normal_(prediction.leave.weight, std=0.1)
    for codec in net.layers:
        codec.g_a[-1].weight.data *= 100.0  # untrained latents would all be rounded to zero
    x, other = torch.rand(2, 1, 3, 64, 64)
    quality = [torch.tensor([3.0])] * 3
    pyramid = [reduce(x, (16, 16)), reduce(x, (32, 32)), x]
    with torch.no_grad():
        before = net(pyramid, quality)
        changed_top = net([*pyramid[:2], other], quality)
        changed_base = net([reduce(other, (16, 16)), *pyramid[1:]], quality)
    assert [torch.equal(a.image, b.image) for a, b in zip(before, changed_top, strict=True)] == [True, True, False]
    assert [torch.equal(a.image, b.image) for a, b in zip(before, changed_base, strict=True)] == [False, False, False]


def test_the_start_from_a_block_transform(parrots):
    """Fresh, no layer predicts the next one: each is a block transform codec."""
    torch.manual_seed(0)
    net = MeiNet(48).eval()
    x = torch.from_numpy(np.array(parrots)).permute(2, 0, 1)[None].float() / 255
    for codec in net.layers:
        start_from_klt(codec, x[:, :, :240, :320])
    quality = [torch.tensor([6.0])] * 3
    with torch.no_grad():
        layers = net([reduce(x, (60, 80)), reduce(x, (120, 160)), x], quality)
    assert -10 * torch.log10((layers[-1].image - x).square().mean()) > 27


def test_densities_learn_faster(net):
    stage = LayersStage(net, crop=256, batch=1)
    fast = {name for name, _ in stage.trained.named_parameters() if stage.rate_factor(name) > 1}
    assert fast == {name for name, _ in net.named_parameters() if ".entropy_bottleneck." in name}
    assert {name.split(".")[1] for name in fast} == {"0", "1", "2"}


def test_training_reaches_every_weight(crops_folder, tmp_path):
    for profile in ("tiny-mei", "mei-enhanced-small"):
        run = make_run("layers", crops_folder, tmp_path / profile, 2, profile=profile)
        trainer = make_trainer(run, PEERS[profile](), open_device("fp32", 1))
        figures = trainer.train()
        assert figures["cost"] > 0
        left = {n for n, p in trainer.stage.trained.named_parameters() if p.requires_grad and p.grad is None}
        assert left == set()


@pytest.mark.parametrize(("profile", "stage"), [("tiny-mei", "base"), ("tiny", "layers")])
def test_stages_that_are_not_there(profile, stage, crops_folder, tmp_path):
    net = PEERS[profile]() if profile in PEERS else build(profile)
    with pytest.raises(InputError, match=f"the profile {profile} has no stage {stage}"):
        make_trainer(make_run(stage, crops_folder, tmp_path, 1, profile=profile), net, open_device("fp32", 1))


def test_it_makes_no_files():
    with pytest.raises(InputError, match="'tiny-mei' makes no files"):
        build("tiny-mei")


def test_pictures_of_any_size_validate():
    stage = LayersStage(MeiNet(12).eval(), 64, 2)
    for sides in ((33, 66), (66, 33), (97, 131), (67, 64), (16, 200)):
        with torch.no_grad():
            assert stage.validate([torch.rand(1, 3, *sides)])["cost"] > 0


def test_a_peer_has_no_parts_to_start_from(tmp_path):
    torch.save({}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match="the profile has no base"):
        load_parts(MeiNet(12), [f"base={tmp_path / 'weights.pt'}"])

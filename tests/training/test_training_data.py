"""What training sees: images, crops, reductions, the rng of several processes."""

from __future__ import annotations

import io
import itertools
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from compass.errors import InputError
from compass.training.data import Crops, read_images, subsample_chroma
from compass.training.rng import Share, StepRNG
from compass.training.stages import draw_sides, reduce

CPU = torch.device("cpu")


def test_chains_of_training_cover_what_files_do():
    rng = np.random.default_rng(0)
    chains = [[*draw_sides(192, rng), 192] for _ in range(2000)]
    assert all(chain == sorted(chain) and chain[0] >= 8 for chain in chains)
    depths = np.bincount([len(chain) for chain in chains])
    assert depths.tolist()[:2] == [0, 0]
    assert len(depths) == 4
    assert depths[2:].min() > 900
    ratios = [b / a for chain in chains for a, b in itertools.pairwise(chain)]
    assert np.mean(np.array(ratios) <= 2) > 0.5
    assert 3.9 < max(ratios) < 4.1
    assert min(ratios) < 1.05


def test_reduce_is_pillows_bicubic(parrots):
    x = torch.from_numpy(np.array(parrots)).permute(2, 0, 1)[None].float() / 255
    ours = reduce(x, (100, 133))[0].permute(1, 2, 0).numpy() * 255
    theirs = np.asarray(parrots.resize((133, 100), Image.Resampling.BICUBIC)).astype(float)
    difference = np.abs(ours - theirs)  # Pillow also rounds between its two passes
    assert difference.max() <= 2.01
    assert difference.mean() < 0.25


def test_pictures_from_folders_shards_and_files(crops_folder, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for path in sorted(crops_folder.iterdir()):
            shard.add(path, path.name)
    (crops_folder / "notes.txt").write_text("not an image")
    assert len(list(read_images([crops_folder]))) == 3
    assert len(list(read_images([tmp_path / "shard.tar"]))) == 3
    assert len(list(read_images([tmp_path]))) == 6
    assert len(list(read_images([tmp_path], limit=2))) == 2
    with pytest.raises(InputError, match="does not exist"):
        list(read_images([tmp_path / "nothing"]))
    with pytest.raises(InputError, match="320 pixels wide"):
        Crops(read_images([crops_folder]), 320, CPU)


def test_pictures_are_read_as_the_codec_reads_them(parrots, tmp_path):
    levels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    Image.fromarray(levels).save(tmp_path / "a.png")  # 16 bits of grey
    parrots.save(tmp_path / "b.ppm")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    parrots.save(tmp_path / "c.png", exif=exif)
    with pytest.warns(UserWarning, match="16 bits a channel"):
        grey, plain, turned = read_images([tmp_path])
    assert np.array_equal(np.asarray(grey)[:, :, 0], (levels.astype(int) + 128) // 257)
    assert np.array_equal(np.asarray(plain), np.asarray(parrots))
    assert turned.size == (240, 320)


def test_a_broken_picture_is_named_and_left_out(crops_folder, tmp_path):
    (crops_folder / "broken.png").write_bytes((crops_folder / "0.png").read_bytes()[:200])
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for path in sorted(crops_folder.iterdir()):
            shard.add(path, f"folder.png/{path.name}")
    for source in (crops_folder, tmp_path / "shard.tar"):
        with pytest.warns(UserWarning, match=r"broken\.png.*: it is left out"):
            assert len(list(read_images([source]))) == 3
    (tmp_path / "cut.tar").write_bytes((tmp_path / "shard.tar").read_bytes()[:700])
    with pytest.raises(InputError, match=r"cut\.tar cannot be read"):
        list(read_images([tmp_path / "cut.tar"]))
    only = tmp_path / "only"
    only.mkdir()
    (only / "broken.png").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="left out"), pytest.raises(InputError, match="no images in"):
        list(read_images([only]))


def test_crops_are_windows_of_the_pictures_or_their_mirror_images():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    crops = Crops(iter([Image.fromarray(image)] * 2), 32, CPU)
    drawn = (crops.draw(24, 32, StepRNG(1, 0, CPU)).permute(0, 2, 3, 1) * 255).round().byte().numpy()
    windows = {
        (top, left, mirrored): image[top : top + 32, left : left + 32][:, :: -1 if mirrored else 1]
        for top in range(9) for left in range(19) for mirrored in (False, True)
    }  # fmt: skip
    found = [[place for place, window in windows.items() if np.array_equal(window, crop)] for crop in drawn]
    assert all(len(places) == 1 for places in found)
    tops, lefts, mirrored = zip(*(places[0] for places in found), strict=True)
    assert min(tops) < 2 < 6 < max(tops)
    assert min(lefts) < 4 < 14 < max(lefts)
    assert set(mirrored) == {False, True}


def test_half_of_the_crops_are_from_reduced_pictures():
    flat = [Image.new("RGB", (96, 96), (value, 0, 0)) for value in (0, 255)]  # reductions: 96, 64, 48, 32
    crops = Crops(iter(flat), 32, CPU)
    sizes = torch.tensor([96, 96, 64, 64, 48, 48, 32, 32])
    assert crops._table[:, 1].tolist() == sizes.tolist()
    drawn = crops.draw(400, 32, StepRNG(0, 0, CPU))
    assert 150 < int((drawn[:, 0, 0, 0] > 0.5).sum()) < 250


@pytest.mark.parametrize("phase", list(itertools.product((0, 1), repeat=2)))
def test_chroma_is_subsampled_as_jpeg_does(phase):
    """Pillow's decoder, at its best quality, of an image that begins where the squares of two by two pixels do."""
    top, left = phase
    noise = np.random.default_rng(2).normal(128, 20, (80, 96, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=100, subsampling=2)
    with Image.open(file) as decoded:
        expected = torch.from_numpy(np.array(decoded)[top : 80 - top, left : 96 - left]).permute(2, 0, 1) / 255
    image = torch.from_numpy(noise[top : 80 - top, left : 96 - left]).permute(2, 0, 1)[None] / 255

    def difference(found: torch.Tensor) -> float:
        inner = slice(2, -2)  # at its edges it does not know what is beyond
        return 255 * (found[0] - expected)[:, inner, inner].abs().mean().item()

    assert difference(subsample_chroma(image, phase)) < 1  # whole numbers on the way there and back
    assert difference(subsample_chroma(image, (1 - top, left))) > 2
    assert difference(subsample_chroma(image, (top, 1 - left))) > 2
    assert difference(image) > 5


def test_grey_has_no_chroma_to_lose(parrots):
    grey = torch.from_numpy(np.array(parrots.convert("L").convert("RGB"))).permute(2, 0, 1)[None] / 255
    assert torch.allclose(subsample_chroma(grey, (1, 0)), grey, atol=1e-6)


def test_as_many_crops_have_subsampled_chroma_as_are_asked_for(crops_folder):
    plain, half = (
        Crops(read_images([crops_folder]), 64, CPU, share).draw(400, 64, StepRNG(3, 0, CPU)) for share in (0, 0.5)
    )
    changed = (plain != half).flatten(1).any(1)
    assert 150 < changed.sum() < 250


def test_processes_draw_together_what_one_draws_alone():
    whole = StepRNG(3, 7, CPU).uniform(6, 4)
    parts = [StepRNG(3, 7, CPU, Share(rank, 3)) for rank in range(3)]
    assert torch.equal(torch.cat([part.uniform(2, 4) for part in parts]), whole)
    assert len({part.host.random() for part in parts}) == 1
    assert not torch.equal(StepRNG(3, 8, CPU).uniform(6, 4), whole)


def test_crops_depend_on_the_seed_alone(crops_folder):
    crops = Crops(read_images([crops_folder]), 64, CPU)
    a, b, c = (crops.draw(4, 64, StepRNG(seed, 0, CPU)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == (4, 3, 64, 64)

"""Photos cropped and coloured a batch at once, against torchvision's functions one after the other."""

import pytest
import torch
from torchvision.transforms import v2

from training.inputs.augmentation import Augmentation, augment, coloured, resizing

UPRIGHT = torch.zeros(3, dtype=torch.bool)
SEEDS = (3, 5, 8)


@pytest.fixture
def photos() -> torch.Tensor:
    return torch.randint(256, (3, 3, 41, 41), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_crop_is_resized_as_torchvision_does(photos: torch.Tensor, size: int) -> None:
    firsts, lengths = torch.tensor([0.0, 7.0, 20.0]), torch.tensor([41.0, 30.0, 21.0])
    rows, columns = resizing(firsts, lengths, 41, size), resizing(firsts.flip(0), lengths.flip(0), 41, size)
    found = rows[:, None] @ photos.float() @ columns[:, None].transpose(2, 3)
    for index, photo in enumerate(photos):
        top, left = int(firsts[index]), int(firsts[2 - index])
        height, width = int(lengths[index]), int(lengths[2 - index])
        expected = v2.functional.resized_crop(photo.float(), top, left, height, width, [size, size], antialias=True)
        torch.testing.assert_close(found[index], expected, atol=2e-3, rtol=0)  # of 255


def test_colours_change_as_torchvision_changes_them(photos: torch.Tensor) -> None:
    factors = torch.tensor([[0.7, 1.2, 1.3], [1.3, 0.7, 1.0], [1.0, 1.3, 0.6]])
    for index, found in enumerate(coloured(photos / 255, *factors.T)):
        brightness, contrast, saturation = factors[index].tolist()
        expected = v2.functional.adjust_brightness(photos[index] / 255, brightness)
        expected = v2.functional.adjust_contrast(expected, contrast)
        expected = v2.functional.adjust_saturation(expected, saturation)
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)  # torchvision's luma has four digits


def test_crops_lie_inside_and_are_as_small_as_allowed() -> None:
    ramp = torch.arange(41, dtype=torch.uint8).expand(3, 41, 41).contiguous()  # a pixel says which column it is
    many = ramp.expand(500, 3, 41, 41)
    seen = 255 * augment(many, 41, torch.zeros(500, dtype=torch.bool), range(500), Augmentation(crop=0.5, colour=0.0))
    first, last = seen[:, 0, 0, 0], seen[:, 0, 0, -1]
    assert first.min() < 0.1
    assert last.max() > 39.9
    widths = last - first  # of pixels' centres, one less than the pixels, which are resized to 41
    assert 19 <= widths.min() < 21.5
    assert widths.max() > 39
    assert len(set(widths.round().tolist())) > 15


def test_a_mirrored_photo_is_the_same_crop_turned_round(photos: torch.Tensor) -> None:
    how = Augmentation(crop=0.6, colour=0.3)
    upright = augment(photos, 32, UPRIGHT, SEEDS, how)
    torch.testing.assert_close(augment(photos, 32, ~UPRIGHT, SEEDS, how), upright.flip(3))


def test_strength_bounds_how_far_colours_go() -> None:
    grey = torch.full((400, 3, 8, 8), 100, dtype=torch.uint8)
    seen = augment(grey, 8, torch.zeros(400, dtype=torch.bool), range(400), Augmentation(crop=1.0, colour=0.25))
    brightness = seen[:, 0, 0, 0] * 255 / 100  # contrast and saturation leave grey alone
    assert 0.75 - 1e-5 <= brightness.min() < 0.77
    assert 1.23 < brightness.max() <= 1.25 + 1e-5

"""Decoders use every level and give what they declare; the head starts quiet."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ocrmaps.model.decoder import ASF, FPN, PAN
from ocrmaps.model.encoders.registry import conv_bn
from ocrmaps.model.head import DBHead
from tests.model.contracts import DecoderContract


class TestFPN(DecoderContract):
    cls = FPN


class TestASF(DecoderContract):
    cls = ASF


class TestPAN(DecoderContract):
    cls = PAN


def test_a_coarse_feature_reaches_finer_levels():
    torch.manual_seed(0)
    decoder = FPN((4, 4, 4, 4), (4, 8, 16, 32), width=16).eval()
    features = [torch.zeros(1, 4, 16 // 2**i, 16 // 2**i) for i in range(4)]
    features[3][..., 0, 0] = 1.0
    with torch.no_grad():
        finest = decoder(features)[0, : decoder.channels // 4]
    assert finest[:, :8, :8].any() and not finest[:, 10:, 10:].any()


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_the_head_reaches_full_resolution_from_any_power_of_two(stride):
    logits = DBHead(16, stride)(torch.rand(2, 16, 8, 12))
    assert (2, 8 * stride, 12 * stride) == logits.probability.shape == logits.threshold.shape


def branch_of_papers(doublings: int) -> nn.Sequential:
    """Layer by layer as the papers have it, under the same names of weights."""
    parts: list[nn.Module] = [*conv_bn(16, 8, 3), nn.ReLU()]
    for _ in range(doublings - 1):
        parts += [nn.ConvTranspose2d(8, 8, 2, 2), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*parts, nn.ConvTranspose2d(8, 1, 2, 2) if doublings else nn.Conv2d(8, 1, 1)).double()


@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("doublings", [0, 1, 2, 3])
def test_the_head_is_that_of_the_papers(doublings, learning):
    torch.manual_seed(0)
    head, plain = DBHead(16, 2**doublings).double().train(learning), branch_of_papers(doublings).train(learning)
    plain.load_state_dict({key: torch.rand(value.shape) for key, value in plain.state_dict().items()})
    head.probability.load_state_dict(plain.state_dict())
    x = torch.randn(2, 16, 3, 5, dtype=torch.float64, requires_grad=True)
    found, expected = head(x).probability, plain(x).squeeze(1)
    torch.testing.assert_close(found, expected)
    given = [torch.autograd.grad(maps.square().sum(), [x, *part.parameters()])
             for maps, part in ((found, head.probability), (expected, plain))]  # fmt: skip
    torch.testing.assert_close(*given)
    torch.testing.assert_close(head.probability.state_dict(), plain.state_dict())


def test_a_head_may_get_its_memory_after_it_was_built():
    torch.manual_seed(0)
    here = DBHead(16, 4).eval()
    torch.nn.init.normal_(here.probability[-1].weight)
    with torch.device("meta"):
        later = DBHead(16, 4).eval()
    later = later.to_empty(device="cpu")
    later.load_state_dict(here.state_dict())
    x = torch.randn(1, 16, 8, 8)
    torch.testing.assert_close(later(x).probability, here(x).probability)


def test_the_head_refuses_other_strides():
    with pytest.raises(ValueError, match="power of two"):
        DBHead(16, 3)


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0, float("nan")])
def test_the_prior_is_a_probability(prior):
    with pytest.raises(ValueError, match="prior"):
        DBHead(16, 4, prior=prior)


def test_the_prior_is_what_an_untrained_head_says():
    logits = DBHead(16, 4, prior=0.03).eval()(100 * torch.randn(1, 16, 8, 8))
    torch.testing.assert_close(torch.sigmoid(logits.probability), torch.full((1, 32, 32), 0.03))
    torch.testing.assert_close(torch.sigmoid(logits.threshold), torch.full((1, 32, 32), 0.5))


def test_a_quiet_head_can_learn():
    """Zero weights at the end are no dead end: they have a gradient, and after one step so has all before them."""
    torch.manual_seed(0)
    head = DBHead(16, 4)
    step = torch.optim.SGD(head.parameters(), lr=0.1)
    x = torch.randn(2, 16, 4, 4)
    for _ in range(2):
        step.zero_grad()
        logits = head(x)
        (logits.probability.square().mean() + logits.threshold.sub(1).square().mean()).backward()
        step.step()
    assert [] == [name for name, p in head.named_parameters() if not p.grad.any() and not name.endswith("0.bias")]

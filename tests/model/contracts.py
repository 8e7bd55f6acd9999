"""What every encoder, decoder and loss must hold: one suite a role, a few lines for each new member."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from ocrmaps.model import ENCODERS, LossTerms, Targets
from ocrmaps.model.head import Logits
from ocrmaps.model.parts import build_part


class EncoderContract:
    """Subclass with `build`."""

    @classmethod
    def build(cls) -> nn.Module:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def encoder(cls) -> nn.Module:
        torch.manual_seed(0)
        return cls.build()

    @pytest.mark.parametrize("size", [(64, 64), (32, 96), (128, 32)])
    def test_features_are_as_declared(self, encoder, size):
        with torch.no_grad():
            features = encoder.eval()(torch.rand(2, 3, *size))
        declared = [(2, c, size[0] // s, size[1] // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)]
        assert declared == [tuple(f.shape) for f in features]

    def test_strides_double_from_four(self, encoder):
        assert (4, 8, 16, 32) == encoder.strides

    def test_every_parameter_learns(self, encoder):
        encoder.train().zero_grad()
        sum(f.square().mean() for f in encoder(torch.rand(2, 3, 64, 64))).backward()
        assert [] == [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]

    def test_channels_last_goes_through(self, encoder):
        x = torch.rand(2, 3, 64, 64)
        with torch.no_grad():
            plain = encoder.eval()(x)
            last = encoder.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
        assert all(f.is_contiguous(memory_format=torch.channels_last) for f in last)
        for a, b in zip(plain, last, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * float(a.std()))


class PublishedEncoderContract(EncoderContract):
    """Subclass with `name`, a key of `ENCODERS`, and the number of parameters that others count without classifier."""

    name: ClassVar[str]
    parameters: ClassVar[int]

    @classmethod
    def build(cls) -> nn.Module:
        return ENCODERS[cls.name]()

    def test_it_has_as_many_parameters_as_published(self, encoder):
        assert self.parameters == sum(p.numel() for p in encoder.parameters())


class DecoderContract:
    """Subclass with `cls`."""

    cls: ClassVar[type[nn.Module]]
    channels: ClassVar[tuple[int, ...]] = (8, 16, 24, 32)
    strides: ClassVar[tuple[int, ...]] = (4, 8, 16, 32)

    def features(self, batch: int = 2) -> list[Tensor]:
        generator = torch.Generator().manual_seed(1)
        return [
            torch.randn(batch, c, 64 // s, 96 // s, generator=generator)
            for c, s in zip(self.channels, self.strides, strict=True)
        ]

    @pytest.mark.parametrize("width", [None, 16, 64])
    def test_its_map_is_as_declared(self, width):
        decoder = self.cls(self.channels, self.strides, width=width)
        assert (2, decoder.channels, 64 // decoder.stride, 96 // decoder.stride) == decoder(self.features()).shape

    def test_every_parameter_learns(self):
        torch.manual_seed(0)
        decoder = self.cls(self.channels, self.strides)
        decoder(self.features()).square().mean().backward()
        assert [] == [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()]

    @pytest.mark.parametrize("level", range(4))
    def test_every_level_reaches_the_map(self, level):
        torch.manual_seed(0)
        decoder = self.cls(self.channels, self.strides).eval()
        features = self.features()
        with torch.no_grad():
            before = decoder(features)
            features[level] = features[level] + 1
            assert not torch.equal(before, decoder(features))

    def test_a_wrong_width_is_refused(self):
        with pytest.raises(ValueError, match="multiple of the 4 levels"):
            self.cls(self.channels, self.strides, width=30)

    def test_an_unknown_option_is_refused(self):
        with pytest.raises(ValueError, match="takes no option 'depth'; it takes width"):
            build_part("decoder", "x", {"x": self.cls}, self.channels, self.strides, options={"depth": 3})


class LossContract:
    """Subclass with `build`. Batches are hostile: no text, only text, nothing counted, absurd logits."""

    def build(self) -> nn.Module:
        raise NotImplementedError

    def run(self, targets: Targets, p: Tensor, t: Tensor) -> tuple[LossTerms, Tensor, Tensor]:
        p, t = p.clone().requires_grad_(), t.clone().requires_grad_()
        terms = self.build()(Logits(p, t), targets)
        terms.total.backward()
        return LossTerms(*(term.detach() for term in terms)), p.grad, t.grad

    @pytest.fixture
    def logits(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(2)
        return torch.randn(2, 16, 24, generator=generator) * 3, torch.randn(2, 16, 24, generator=generator)

    def test_a_perfect_answer_costs_almost_nothing(self):
        targets = some_targets()
        p = torch.where(targets.probability.bool(), 30.0, -30.0)
        t = torch.logit(0.3 + 0.4 / 254 * targets.threshold.float())
        terms, _, _ = self.run(targets, p, t)
        assert float(terms.total) < 1e-3

    def test_a_step_against_the_gradient_lowers_it(self, logits):
        targets = some_targets()
        terms, dp, dt = self.run(targets, *logits)
        after, _, _ = self.run(targets, logits[0] - 0.1 * dp / dp.norm(), logits[1] - 0.1 * dt / dt.norm())
        assert after.total < terms.total

    def test_a_batch_without_text_still_teaches_background(self, logits):
        nothing = torch.zeros(2, 16, 24, dtype=torch.uint8)
        targets = some_targets()._replace(probability=nothing, threshold_mask=nothing.bool())
        terms, dp, _ = self.run(targets, *logits)
        assert terms.probability > 0 and terms.binary > 0
        assert (dp >= 0).all() and dp.max() > 1e-3

    def test_a_batch_of_text_alone_teaches_text(self, logits):
        everywhere = torch.ones(2, 16, 24, dtype=torch.bool)
        targets = some_targets()._replace(probability=everywhere.to(torch.uint8), probability_mask=everywhere)
        terms, dp, _ = self.run(targets, *logits)
        assert torch.isfinite(terms.total)
        assert (dp <= 0).all() and dp.min() < -1e-4

    def test_a_batch_that_counts_nowhere_teaches_nothing(self, logits):
        nowhere = torch.zeros(2, 16, 24, dtype=torch.bool)
        terms, dp, dt = self.run(some_targets()._replace(probability_mask=nowhere, threshold_mask=nowhere), *logits)
        assert 0.0 == float(terms.total)
        assert not dp.any() and not dt.any()

    def test_masked_pixels_change_nothing(self, logits):
        targets = some_targets()
        probability_mask, threshold_mask = targets.probability_mask.clone(), targets.threshold_mask.clone()
        probability_mask[:, :, :7] = threshold_mask[:, :, :7] = False
        targets = targets._replace(probability_mask=probability_mask, threshold_mask=threshold_mask)
        terms, dp, dt = self.run(targets, *logits)
        other = targets._replace(probability=targets.probability.clone(), threshold=targets.threshold.clone())
        other.probability[:, :, :7] ^= 1
        other.threshold[:, :, :7] = 200
        changed, _, _ = self.run(other, logits[0].clone().index_fill_(2, torch.arange(7), 9.0), logits[1])
        assert terms == changed
        assert not dp[:, :, :7].any() and not dt[:, :, :7].any()

    @pytest.mark.parametrize("size", [50.0, 1e4, 1e30])
    def test_huge_logits_stay_finite(self, size, logits):
        terms, dp, dt = self.run(some_targets(), logits[0] * size, logits[1] * size)
        assert all(torch.isfinite(term) for term in terms)
        assert torch.isfinite(dp).all() and torch.isfinite(dt).all()

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_what_is_not_finite_is_not_hidden(self, value, logits):
        logits[0][0, 3, 5] = value
        terms, _, _ = self.run(some_targets(), *logits)
        assert not torch.isfinite(terms.total)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_logits_are_judged_in_float32(self, dtype, logits):
        p, t = (x.to(dtype) for x in logits)
        expected = self.build()(Logits(p.float(), t.float()), some_targets())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = self.build()(Logits(p, t), some_targets())
        assert expected == found
        assert found.total.dtype == torch.float32

    def test_rows_in_another_order_give_the_same(self, logits):
        targets = some_targets()
        terms = self.build()(Logits(*logits), targets)
        flipped = self.build()(Logits(*(x.flip(0) for x in logits)), Targets(*(x.flip(0) for x in targets)))
        torch.testing.assert_close(terms, flipped, rtol=1e-5, atol=1e-6)

    def test_it_never_reads_a_value_back(self, logits):
        """On tensors without data any read, and any shape that depends on data, is an error."""
        targets = Targets(*(x.to("meta") for x in some_targets()))
        p, t = (x.to("meta").requires_grad_() for x in logits)
        self.build()(Logits(p, t), targets).total.backward()
        assert p.grad.shape == p.shape

    def test_it_needs_the_threshold(self, logits):
        with pytest.raises(ValueError, match="threshold=True"):
            self.build()(Logits(logits[0], None), some_targets())

    def test_its_weights_are_used(self, logits):
        terms = self.build()(Logits(*logits), some_targets())
        a, b, c = self.build().weights
        torch.testing.assert_close(terms.total, a * terms.probability + b * terms.threshold + c * terms.binary)


def some_targets() -> Targets:
    """Two pictures with a bar of text each, a band around it and a masked corner."""
    probability = torch.zeros(2, 16, 24, dtype=torch.uint8)
    probability[0, 6:9, 4:20] = 1
    probability[1, 3:5, 2:9] = 1
    threshold = torch.zeros(2, 16, 24, dtype=torch.uint8)
    threshold[0, 4:11, 2:22] = 180
    threshold[1, 2:6, 1:10] = 254
    mask = torch.full((2, 16, 24), 1, dtype=torch.uint8)
    mask[threshold > 0] = 3
    mask[:, 12:, 18:] = 0
    return Targets.unpack(probability, threshold, mask)

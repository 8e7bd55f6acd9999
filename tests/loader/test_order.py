"""Which rows make which batch: a permutation of (seed, epoch), the same however many ranks share it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.errors import SpecError
from ocrmaps.loader.order import Order, share, steps
from ocrmaps.loader.weights import in_units

CANVASES = [(64, 64), (64, 32), (32, 64)]


def order_of(counts, *, batch_size=4, shuffle=True, seed=0, drop_last=False, weights=None) -> Order:
    bounds = np.cumsum([0, *counts])
    rows = {c: np.arange(bounds[i], bounds[i + 1]) for i, c in enumerate(CANVASES[: len(counts)]) if counts[i]}
    units = None if weights is None else {c: in_units(np.asarray(weights)[r]) for c, r in rows.items()}
    return Order(
        rows=rows, batch_size=batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last, weights=units,
        every=int(bounds[-1]),
    )  # fmt: skip


counts = st.lists(st.integers(0, 23), min_size=1, max_size=3).filter(any)


@given(counts, st.integers(1, 9), st.booleans(), st.integers(0, 5))
def test_an_epoch_shows_every_row_once(counts, batch_size, shuffle, epoch):
    order = order_of(counts, batch_size=batch_size, shuffle=shuffle)
    batches = order.batches(epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(sum(counts)))
    assert len(batches) == len(order)


@given(counts, st.integers(1, 9))
def test_a_batch_holds_rows_of_one_canvas(counts, batch_size):
    order = order_of(counts, batch_size=batch_size)
    for batch in order.batches(0):
        assert any(set(batch.tolist()) <= set(rows.tolist()) for rows in order.rows.values())


@given(counts, st.integers(1, 9))
def test_drop_last_leaves_out_what_fills_no_batch(counts, batch_size):
    order = order_of(counts, batch_size=batch_size, drop_last=True)
    batches = order.batches(3)
    assert all(len(batch) == batch_size for batch in batches)
    assert sum(map(len, batches)) == sum(counts) - order.left_out


def test_rows_that_drop_last_hides_for_ever_are_known():
    assert order_of([9, 3], batch_size=4, drop_last=True).unreachable.tolist() == [9, 10, 11]
    assert order_of([9, 3], batch_size=4).unreachable.tolist() == []


@given(counts, st.integers(1, 9), st.integers(1, 5), st.booleans())
def test_ranks_take_turns_at_one_order(counts, batch_size, world, drop_last):
    batches = order_of(counts, batch_size=batch_size).batches(1)
    shares = [share(batches, 0, rank, world, drop_last=drop_last) for rank in range(world)]
    assert {len(s) for s in shares} == {steps(len(batches), world, drop_last=drop_last)}
    dealt = [batch.tolist() for step in zip(*shares, strict=True) for batch in step]
    everything = [batch.tolist() for batch in batches]
    assert dealt[: len(batches)] == everything[: len(dealt)]
    if not drop_last:
        assert len(dealt) - len(batches) < world


@given(counts, st.integers(1, 4), st.integers(1, 4), st.data())
def test_a_stopped_epoch_goes_on_with_another_number_of_ranks(counts, before, after, data):
    batches = order_of(counts, batch_size=2).batches(0)
    done = data.draw(st.integers(0, len(batches) // before)) * before
    shares = [share(batches, done, rank, after, drop_last=False) for rank in range(after)]
    rest = [batch.tolist() for step in zip(*shares, strict=True) for batch in step]
    expected = [batch.tolist() for batch in batches[done:]]
    assert rest[: len(expected)] == expected


def test_seed_and_epoch_change_the_order():
    orders = {
        tuple(np.concatenate(order_of([23], seed=seed).batches(epoch)).tolist())
        for seed in range(3)
        for epoch in (0, 1)
    }
    assert len(orders) == 6


def test_the_order_is_the_same_on_every_machine():
    """Written down once: a checkpoint must resume in the same order wherever it is loaded."""
    batches = order_of([5, 3], batch_size=2, seed=7).batches(2)
    assert [batch.tolist() for batch in batches] == GOLDEN


def test_shuffling_mixes_canvases_over_the_epoch():
    order = order_of([20, 20], batch_size=2)
    canvas = [int(batch[0] >= 20) for batch in order.batches(0)]
    assert canvas not in (sorted(canvas), sorted(canvas, reverse=True))


def test_without_shuffling_rows_come_in_order():
    assert np.concatenate(order_of([5, 4], shuffle=False).batches(9)).tolist() == [5, 6, 7, 8, 0, 1, 2, 3, 4]


@given(counts, st.integers(1, 9), st.booleans(), st.booleans(), st.integers(0, 3))
def test_weights_of_1_change_nothing(counts, batch_size, shuffle, drop_last, epoch):
    settings = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last}
    plain, weighted = order_of(counts, **settings), order_of(counts, **settings, weights=[1] * sum(counts))
    assert [b.tolist() for b in plain.batches(epoch)] == [b.tolist() for b in weighted.batches(epoch)]
    assert (len(plain), plain.left_out) == (len(weighted), weighted.left_out)
    assert plain.unreachable.tolist() == weighted.unreachable.tolist()


@given(counts, st.data())
def test_weights_show_rows_so_often_and_epochs_stay_as_long(counts, data):
    """Over n epochs a row of weight w comes n * w times, within two; the rounding of an epoch is per canvas."""
    total, epochs = sum(counts), 40
    weights = np.array(data.draw(st.lists(st.sampled_from([0.25, 0.5, 1, 1.5, 3]), min_size=total, max_size=total)))
    order = order_of(counts, weights=weights)
    seen = np.zeros(total)
    lengths = set()
    for epoch in range(epochs):
        batches = order.batches(epoch)
        places = np.concatenate(batches)
        assert len(set(places.tolist())) == len(places)  # every time of a row is told apart
        shown = np.bincount(places % total, minlength=total)
        assert (shown >= np.floor(weights)).all() and (shown <= np.ceil(weights)).all()
        seen += shown
        lengths.add((len(batches), len(places)))
    assert lengths == {(len(order), sum(order.counts.values()))}
    for canvas, rows in order.rows.items():
        rest = weights[rows] % 1
        given = max(1, np.floor(rest.sum())) / rest.sum() if rest.any() else 1
        expected = epochs * (np.floor(weights[rows]) + rest * given)
        assert (np.abs(seen[rows] - expected) <= 2).all(), canvas


def test_rare_rows_come_in_turn():
    """Four quarters: by chance alone a third of the rows would not come in the first four epochs."""
    order = order_of([16], weights=[0.25] * 16)
    shown = [set(np.concatenate(order.batches(epoch)).tolist()) for epoch in range(6)]
    assert all(len(rows) == 4 for rows in shown) and len(set.union(*shown)) == 16


def test_what_is_no_weight_is_refused():
    for wrong in ([-1.0], [float("nan")], [[1.0]], [1e9]):
        with pytest.raises(SpecError, match="expected a list of numbers from 0"):
            in_units(wrong)


GOLDEN = [[3], [7, 6], [5], [4, 2], [1, 0]]

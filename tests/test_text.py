"Text: what is read, how it is cut into stretches, what is carried from one to the next, how it is measured."
import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_nbdev.data import read_text, split_text, standard_library
from rnn_nbdev.gradcheck import assert_close, check_gradients
from rnn_nbdev.losses import cross_entropy
from rnn_nbdev.optim import Adam
from rnn_nbdev.text import (UNKNOWN, Streams, TextModel, TextTask, Vocabulary, build_vocabulary, choose, evaluate,
                            fitting_streams, load_model, save_model, state_in, write)
from rnn_nbdev.train import TrainingPlan, begin, train_step

CELLS = ['rnn', 'lstm', 'gru']
VOCABULARY = Vocabulary(UNKNOWN + 'abcd')


def task(cell='lstm', m=3, T=5, n=70, dtype='float64'):
    tokens = np.random.default_rng(0).integers(1, 5, size=n)
    return TextTask(TextModel(VOCABULARY, 4, 6, cell), Streams(tokens, m, T), tokens[:20], dtype)


def plan(rate):
    return TrainingPlan(100, lambda step: rate)


# ---------------------------------------------------------------------------------------------------------- vocabulary

@given(st.text(min_size=1))
def test_a_text_survives_encoding(text):
    if not set(text) - {UNKNOWN}: return
    vocabulary = build_vocabulary(text, least=1)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.encode(text).max(initial=0) < len(vocabulary)


def test_rare_and_new_characters_share_number_0():
    vocabulary = build_vocabulary('a' * 200_000 + 'z')
    assert vocabulary.characters == UNKNOWN + 'a' and vocabulary.encode('zaq\U0001f600').tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize('characters', ['', 'abc', UNKNOWN, UNKNOWN + 'ba', UNKNOWN + 'aa'])
def test_a_vocabulary_that_is_none_is_refused(characters):
    with pytest.raises(ValueError, match='vocabulary'): Vocabulary(characters)


# ------------------------------------------------------------------------------------------------------------- streams

@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 30), st.integers(0, 5))
def test_every_character_is_a_target_once_and_follows_its_input(m, T, extra, offset):
    streams = Streams(np.arange(m * (T + 1) + extra), m, T)
    offset = min(offset, T - 1)
    targets = []
    for k in range(streams.stretches(offset)):
        x, y = streams.read(k, offset)
        assert x.shape == y.shape == (m, T) and (y == x + 1).all()
        targets.append(y)
        if k: assert (x[:, 0] == targets[-2][:, -1]).all(), 'a stretch goes on where the one before ended'
    seen = np.concatenate(targets, axis=1).ravel() if targets else np.array([])
    assert len(set(seen)) == len(seen)


def test_a_text_that_is_too_short():
    with pytest.raises(ValueError, match='text: 5 characters'): fitting_streams(np.arange(5), 1, 5)
    assert fitting_streams(np.arange(6), 64, 5).m == 1


# ---------------------------------------------------------------------------------------------------------- the task

@pytest.mark.parametrize('cell', CELLS)
def test_the_state_is_carried_from_stretch_to_stretch(cell):
    "The losses of three stretches are those of one long one, read at once"
    t = task(cell)
    parameters, carry = t.begin(np.random.default_rng(1))
    losses = []
    for _ in range(3):
        loss, _, carry, count = t.gradients(parameters, carry, np.random.default_rng(2))
        losses.append(loss)
        assert count == 15
    x, y = (np.concatenate([t.streams.read(k, 0)[i] for k in range(3)], axis=1) for i in (0, 1))
    z, _, _ = t.model.network.forward(parameters, x)
    assert_close(np.array(losses), np.array([cross_entropy(z[:, :, k*5:k*5+5], y[:, k*5:k*5+5])[0] for k in range(3)]),
                 rtol=1e-12)


@pytest.mark.parametrize('cell', CELLS)
def test_the_gradient_of_a_batch_is_right(cell):
    "From the loss to every parameter of the network, with a state carried in"
    t = task(cell)
    parameters, carry = t.begin(np.random.default_rng(1))
    carry = t.gradients(parameters, carry, np.random.default_rng(2))[2]

    def forward(parameters):
        z, _, _ = t.model.network.forward(parameters, t.batch(carry)[0], state_in(carry))
        return cross_entropy(z, t.batch(carry)[1])[0], parameters

    def backward(dloss, parameters):
        gradients = t.gradients(parameters, carry, np.random.default_rng(2))[1]
        return {'dparameters': {name: dloss * g for name, g in gradients.items()}}

    check_gradients(forward, backward, {'parameters': parameters}, max_entries=6)


def test_a_new_pass_starts_elsewhere_with_a_fresh_state():
    t = task()
    parameters, carry = t.begin(np.random.default_rng(1))
    rng, offsets = np.random.default_rng(5), []
    for _ in range(40):
        carry = t.gradients(parameters, carry, rng)[2]
        if carry['k'] == 0:
            offsets.append(int(carry['offset']))
            assert not any(s.any() for s in state_in(carry).values())
    assert len(offsets) >= 8 and set(offsets) <= set(range(5)) and len(set(offsets)) > 1


@pytest.mark.parametrize('cell', CELLS)
def test_float32_stays_float32_and_nothing_is_written_to(cell):
    t = task(cell, dtype='float32')
    progress = begin(t, Adam(), 0)
    for arrays in (progress.parameters, progress.carry, progress.optimizer):
        for a in arrays.values(): a.flags.writeable = False
    after, entry = train_step(t, Adam(), progress, plan(0.01))
    assert np.isfinite(entry['loss'])
    arrays = [a for part in (after.parameters, after.optimizer, after.carry) for a in part.values()]
    floating = [a for a in arrays if a.dtype.kind == 'f']
    assert floating and all(a.dtype == np.float32 for a in floating)


def test_what_is_learned_is_learned():
    "A text that repeats itself is learned by heart within a hundred steps"
    tokens = np.tile([1, 2, 3, 4, 3], 60)
    t = TextTask(TextModel(VOCABULARY, 4, 12), Streams(tokens, 4, 10), tokens[:50])
    progress = begin(t, Adam(), 0)
    before = t.held_out_loss(progress.parameters)
    for _ in range(100): progress, _ = train_step(t, Adam(), progress, plan(0.03))
    assert t.held_out_loss(progress.parameters) < 0.1 < 1 < before


@pytest.mark.parametrize('name', ['embedding.W', 'lstm.Wf', 'output.b'])
def test_a_nan_is_named_where_it_began(name):
    t = task()
    progress = begin(t, Adam(), 0)
    progress.parameters[name].ravel()[1] = np.nan
    with pytest.raises(FloatingPointError, match=f'step 1: the loss is not finite; first bad array: {name} '):
        train_step(t, Adam(), progress, plan(0.01))


# -------------------------------------------------------------------------------------------------- measuring, writing

@given(st.integers(2, 200), st.integers(1, 8), st.integers(1, 30))
def test_a_measurement_counts_each_prediction_once(n, m, T):
    t = task()
    parameters, _ = t.begin(np.random.default_rng(1))
    tokens = np.random.default_rng(3).integers(5, size=n)
    loss, count = evaluate(t.model, parameters, tokens, m=m, T=T)
    streams = max(1, min(m, n // (T + 1)))
    rows = tokens[:n // streams * streams].reshape(streams, -1)
    z, _, _ = t.model.network.forward(parameters, rows[:, :-1])
    assert count == rows[:, 1:].size
    np.testing.assert_allclose(loss, cross_entropy(z, rows[:, 1:])[0], rtol=1e-10)


def test_drawing_a_character():
    rng, z = np.random.default_rng(0), np.array([0., 3., 1., 2.])
    assert {choose(z, 0, None, rng) for _ in range(5)} == {1}
    assert {choose(z, 5.0, 2, rng) for _ in range(200)} == {1, 3}
    assert {choose(z, 5.0, 3, rng) for _ in range(200)} == {1, 2, 3}
    assert {choose(z, 50.0, None, rng) for _ in range(500)} == {0, 1, 2, 3}
    counts = np.bincount([choose(z, 1.0, None, rng) for _ in range(20_000)], minlength=4) / 20_000
    np.testing.assert_allclose(counts, np.exp(z) / np.exp(z).sum(), atol=0.015)


def test_writing_follows_the_network_step_by_step():
    t = task()
    parameters, _ = t.begin(np.random.default_rng(1))
    text = 'ab' + ''.join(write(t.model, parameters, 12, 'ab', temperature=0))
    tokens = VOCABULARY.encode(text)
    z, _, _ = t.model.network.forward(parameters, tokens[None])
    expected = 1 + z[1:, 0].argmax(axis=0)         # number 0 is never written
    assert (expected[1:-1] == tokens[2:]).all() and UNKNOWN not in text


def test_a_model_comes_back_from_disk(tmp_path):
    for cell in CELLS:
        t = task(cell, dtype='float32')
        parameters, _ = t.begin(np.random.default_rng(1))
        save_model(tmp_path/'weights.safetensors', t.model, parameters)
        model, same = load_model(tmp_path)
        assert model == t.model
        assert_close(same, parameters, rtol=0)


# --------------------------------------------------------------------------------------------------------------- data

def test_a_folder_is_read_in_an_order_that_its_names_decide(tmp_path):
    for name in ('one', 'two', 'three', 'four'): (tmp_path/name).write_text(f'{name}\n')
    text = read_text(tmp_path)
    expected = sorted(('one', 'two', 'three', 'four'), key=lambda name: hashlib.sha256(name.encode()).digest())
    assert text.characters.split() == expected and text.files == 4


@given(st.text(min_size=20, max_size=200), st.floats(0.2, 0.8))
def test_what_is_held_out_is_not_trained_on(text, share):
    train, held_out = split_text(text, share)
    assert train + held_out == text and abs(len(held_out) - share * len(text)) <= 1


def test_the_standard_library_is_there_and_is_python():
    library = standard_library()
    assert library.files > 300 and '\r' not in library.characters and library.characters.count('\ndef ') > 1000
    assert library.record() == standard_library().record()

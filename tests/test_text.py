"Text: how it is cut into TBPTT windows, what is carried, how it is measured, and how a model writes."
import hashlib
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_nbdev.decoding import (_allowed, beam_search, choice_probabilities, choose, _decoded, _prompt_tokens, _until,
                                write, _write_tokens)
from rnn_nbdev.files import save_arrays
from rnn_nbdev.gradcheck import assert_close, check_gradients
from rnn_nbdev.layers import Pass, TokenChain
from rnn_nbdev.losses import cross_entropy
from rnn_nbdev.optim import Adam
from rnn_nbdev.recurrent import ENGINES, engine_of, has_numba
from rnn_nbdev.text import (UNKNOWN, ByteVocabulary, Streams, TextModel, TextTask, Vocabulary, bits,
                            build_vocabulary, evaluate, fitting_streams, load_model, read_bytes, save_model, _state_in,
                            surprises)
from rnn_nbdev.train import TrainingPlan, begin, train_step

CELLS = ['rnn', 'lstm', 'gru']
VOCABULARY = Vocabulary(UNKNOWN + 'abcd')


def task(cell='lstm', m=3, T=5, n=70, dtype='float64', **sizes):
    tokens = np.random.default_rng(0).integers(1, 5, size=n)
    return TextTask(TextModel(VOCABULARY, 4, 6, cell, **sizes), Streams(tokens, m, T), tokens[:20], dtype)


def untrained(*how, **sizes):
    t = task(*how, **sizes)
    return t, *t.begin(np.random.default_rng(1))


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


# --------------------------------------------------------------------------------------------------------------- bytes

@given(st.binary(min_size=1))
def test_bytes_survive_encoding_and_text_comes_out_as_python_decodes_it(data):
    vocabulary = ByteVocabulary()
    tokens = vocabulary.encode(data)
    assert tokens.astype(np.uint8).tobytes() == data and vocabulary.unknown(data) == ''
    assert vocabulary.decode(tokens) == data.decode('utf-8', 'replace')
    assert ''.join(_decoded(vocabulary, tokens.tolist())) == data.decode('utf-8', 'replace')


@given(st.text(min_size=1))
def test_a_character_comes_with_its_last_byte(text):
    if any('\ud800' <= c <= '\udfff' for c in text): return
    pieces = list(_decoded(ByteVocabulary(), text.encode()))
    assert [p for p in pieces if p] == list(text) and len(pieces) == len(text.encode()) + 1


def test_files_are_read_as_they_are(tmp_path):
    for name, data in {'b.bin': b'\xff\x00\r\n', 'a.bin': b'\xef\xbb\xbfx', '.hidden': b'no', 'c.txt': b'no'}.items():
        (tmp_path/name).write_bytes(data)
    assert read_bytes(tmp_path/'b.bin').contents == b'\xff\x00\r\n'
    read = read_bytes(tmp_path, '*.bin')
    names = sorted(('a.bin', 'b.bin'), key=lambda name: hashlib.sha256(name.encode()).digest())
    assert read.contents == b''.join((tmp_path/name).read_bytes() for name in names) and read.files == 2
    assert read.sha256 == hashlib.sha256(read.contents).hexdigest() == read.record()['sha256']
    assert read.record()['bytes'] == 8 and '8 bytes from 2 files' in repr(read)


# ------------------------------------------------------------------------------------------------------------- streams

def test_no_bytes_are_refused(tmp_path):
    (tmp_path/'empty').write_bytes(b'')
    for path, pattern, word in ((tmp_path/'none', '*', 'no such file'), (tmp_path/'empty', '*', 'is empty'),
                                (tmp_path, '*.txt', 'no file matches')):
        with pytest.raises(ValueError, match=word): read_bytes(path, pattern)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 30), st.integers(0, 5))
def test_every_character_is_a_target_once_and_follows_its_input(m, T, extra, offset):
    assert fitting_streams(np.arange(T + 1), 64, T).m == 1
    streams = Streams(np.arange(m * (T + 1) + extra), m, T)
    offset = min(offset, T - 1)
    targets = []
    for k in range(streams.windows(offset)):
        x, y = streams.read(k, offset)
        assert x.shape == y.shape == (m, T) and (y == x + 1).all()
        targets.append(y)
        if k: assert (x[:, 0] == targets[-2][:, -1]).all(), 'a window goes on where the one before ended'
    seen = np.concatenate(targets, axis=1).ravel() if targets else np.array([])
    assert len(set(seen)) == len(seen)


# ---------------------------------------------------------------------------------------------------------- the task

@pytest.mark.parametrize('cell', CELLS)
def test_the_state_is_carried_from_stretch_to_stretch(cell):
    "The losses of three stretches are those of one long one, read at once"
    t, parameters, carry = untrained(cell)
    losses = []
    for _ in range(3):
        loss, _, carry, count = t.gradients(parameters, carry, np.random.default_rng(2))
        losses.append(loss)
        assert count == 15
    x, y = (np.concatenate([t.streams.read(k, 0)[i] for k in range(3)], axis=1) for i in (0, 1))
    z, _, _ = t.model.network.forward(parameters, x)
    assert_close(np.array(losses), np.array([cross_entropy(z[:, :, k*5:k*5+5], y[:, k*5:k*5+5])[0] for k in range(3)]),
                 rtol=1e-12)


@pytest.mark.parametrize('how', [*({'cell': cell} for cell in CELLS), {'layers': 2, 'dropout': 0.4}])
def test_the_gradient_of_a_batch_is_right(how):
    "From the loss to every parameter of the network, with a state carried in; deep, with dropout"
    t, parameters, carry = untrained(**how)
    carry = t.gradients(parameters, carry, np.random.default_rng(2))[2]

    def forward(parameters):
        x, y = t.batch(carry)
        z, _, _ = t.model.network.forward(parameters, x, _state_in(carry), Pass(rng=np.random.default_rng(2)))
        return cross_entropy(z, y)[0], parameters

    def backward(dloss, parameters):
        gradients = t.gradients(parameters, carry, np.random.default_rng(2))[1]
        return {'dparameters': {name: dloss * g for name, g in gradients.items()}}

    check_gradients(forward, backward, {'parameters': parameters}, max_entries=6)


@pytest.mark.parametrize('n', range(6, 24))
def test_every_pass_starts_elsewhere_with_a_fresh_state_and_has_a_whole_stretch(n):
    t, rng, offsets = task('lstm', m=1, T=5, n=n), np.random.default_rng(0), set()
    parameters, carry = t.begin(rng)
    for _ in range(60):
        carry = t.gradients(parameters, carry, rng)[2]
        assert t.batch(carry)[0].shape == (1, 5)
        offsets.add(int(carry['offset']))
        assert carry['k'] or not any(s.any() for s in _state_in(carry).values())
    assert offsets == set(range(min(5, n - 5))), 'the last place leaves one stretch and a character'


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
    before = t.validation_loss(progress.parameters)
    for _ in range(100): progress, _ = train_step(t, Adam(), progress, plan(0.03))
    assert t.validation_loss(progress.parameters) < 0.1 < 1 < before


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
    t, parameters, _ = untrained()
    tokens = np.random.default_rng(3).integers(5, size=n)
    loss, count = evaluate(t.model, parameters, tokens, m=m, T=T)
    streams = max(1, min(m, n // (T + 1)))
    rows = tokens[:n // streams * streams].reshape(streams, -1)
    z, _, _ = t.model.network.forward(parameters, rows[:, :-1])
    assert count == rows[:, 1:].size
    np.testing.assert_allclose(loss, cross_entropy(z, rows[:, 1:])[0], rtol=1e-10)


def test_surprises_are_of_every_token_in_order():
    t, parameters, _ = untrained()
    found = surprises(t.model, parameters, t.held_out, m=1, T=7)
    z, _, _ = t.model.network.forward(parameters, t.held_out[None, :-1])
    p = np.exp(z) / np.exp(z).sum(axis=0)
    assert_close(found, -np.log(np.take_along_axis(p, t.held_out[None, None, 1:], axis=0))[0], rtol=1e-10)
    assert np.isclose(found.mean(), evaluate(t.model, parameters, t.held_out, m=1, T=7)[0])
    hot = surprises(t.model, parameters, t.held_out, m=1, temperature=1e6)
    np.testing.assert_allclose(hot, np.log(len(VOCABULARY)), rtol=1e-4)      # as if it knew nothing


def test_bits():
    assert np.isclose(bits(np.log(8)), 3) and np.isclose(bits(np.log(8), 4, 6), 2)
    for loss in np.random.default_rng(0).random(99): assert bits(loss, 769, 769) == bits(loss)   # to the last bit


@pytest.mark.parametrize('how, error', [
    (lambda p: {**p, 'lstm.Wf': p['lstm.Wf'] * np.nan}, (ValueError, r'lstm\.Wf: 60 of 60 weights are not finite')),
    (lambda p: {**p, 'lstm.Wf': p['lstm.Wf'][:3]}, (ValueError, r'lstm\.Wf: got shape \(3, 10\)')),
    (lambda p: {**p, 'extra': np.zeros(1)}, (ValueError, 'extra: not in the network')),
    (lambda p: {n: w for n, w in p.items() if n != 'output.b'}, (ValueError, r'output\.b: missing')),
    (lambda p: {**p, 'output.b': p['output.b'].astype(np.float32)}, (TypeError, 'float32 and float64')),
    (lambda p: {n: w.astype(np.float16) for n, w in p.items()}, (TypeError, 'float16')),
    (lambda p: {n: w.astype(complex) for n, w in p.items()}, (TypeError, 'complex128'))])
def test_weights_that_are_not_those_of_the_network(how, error, tmp_path):
    t, parameters, _ = untrained()
    bad = how(parameters)
    uses = (lambda: t.model.accept(bad), lambda: surprises(t.model, bad, t.held_out),
            lambda: write(t.model, bad), lambda: beam_search(t.model, bad),
            lambda: save_model(tmp_path/'weights.safetensors', t.model, bad))
    for use in uses:
        with pytest.raises(error[0], match=error[1]): use()
    assert not list(tmp_path.iterdir())


# a use that makes no sense, beyond what one declared argument alone can tell, and what is said of it
NO_NUMBERS = 'tokens: got float64'
NONSENSE = [
    *((lambda t, p, c=c: Vocabulary(c), 'vocabulary: expected') for c in ('', 'abc', UNKNOWN, UNKNOWN + 'ba',
                                                                          UNKNOWN + 'aa')),
    *((lambda t, p, v=v, x=x: v.encode(x), 'text: got') for v in (VOCABULARY, ByteVocabulary())
      for x in (b'bytes', 3, None, ['a'])[v is not VOCABULARY:]),
    *((lambda t, p, text=text: build_vocabulary(text), 'text: no character') for text in ('', UNKNOWN * 30)),
    (lambda t, p: VOCABULARY.decode([-1]), 'tokens: got -1 to -1'),
    (lambda t, p: VOCABULARY.decode([1, 99]), 'tokens: got 1 to 99'),
    (lambda t, p: VOCABULARY.decode([1.5]), NO_NUMBERS),
    (lambda t, p: ByteVocabulary().decode([256]), 'tokens: got 256 to 256, expected 0 to 255'),
    (lambda t, p: Streams(np.ones((9, 9), int), 1, 2), r'tokens: got int64 of shape \(9, 9\)'),
    (lambda t, p: Streams([1, 2, 3, 4], 1, 1), 'tokens: got list'),
    (lambda t, p: fitting_streams(np.ones(9), 1, 1), NO_NUMBERS),
    (lambda t, p: fitting_streams(np.arange(5), 1, 5), 'text: 5 tokens'),
    (lambda t, p: t.streams.read(10**6, 0), 'k: got window 1000000'),
    (lambda t, p: t.streams.read(0, -1), 'k: got window 0 from -1'),
    (lambda t, p: replace(t, held_out=np.array([1, 99])), 'tokens: got 1 to 99'),
    *((lambda t, p, f=f, x=x: f(t.model, p, np.array(x, int)), '.*expected') for f in (surprises, evaluate)
      for x in ([1], [], np.ones((4, 4)), [1, 2, 9])),
    *((lambda t, p, z=z: choice_probabilities(np.array(z)), 'z: got ')
      for z in ([np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf], [])),
]


@pytest.mark.parametrize('use, words', NONSENSE)
def test_what_makes_no_sense_is_told_by_name(use, words):
    t, parameters, _ = untrained()
    with pytest.raises((ValueError, TypeError), match=f'^{words}'): use(t, parameters)


# ---------------------------------------------------------------------------------------------- depth, dropout, look-up

@pytest.mark.parametrize('cell', CELLS)
def test_layers_stand_above_one_another(cell):
    network = task(cell, layers=3, dropout=0.3).model.network
    assert list(network.layers) == ['embedding', f'{cell}1', 'dropout1', f'{cell}2', 'dropout2', f'{cell}3', 'dropout3',
                                    'output']
    assert (network.layers[f'{cell}1'].n_x, network.layers[f'{cell}2'].n_x) == (4, 6)


def test_dropout_acts_in_training_alone():
    t, same = task(dropout=0.5), task()
    parameters, carry = t.begin(np.random.default_rng(1))
    losses = {t.gradients(parameters, carry, np.random.default_rng(seed))[0] for seed in (1, 2, 1)}
    assert len(losses) == 2, 'a seed decides what is left out'
    assert evaluate(t.model, parameters, t.held_out) == evaluate(same.model, parameters, t.held_out)


def test_every_engine_but_the_textbook_looks_tokens_up_and_all_agree():
    t, found = task(layers=2), {}
    parameters, carry = t.begin(np.random.default_rng(1))
    for name in ENGINES if has_numba() else ENGINES[:2]:
        with engine_of(name):
            assert isinstance(t.model.reader, TokenChain) == (name != 'textbook')
            found[name] = [t.gradients(parameters, carry, np.random.default_rng(2))[1] for _ in range(2)]
        assert_close(found[name][0], found['textbook'][0], rtol=1e-9, atol=1e-14)
        assert_close(found[name][0], found[name][1], rtol=0)


def test_bytes_are_trained_on_and_counted_as_bytes():
    tokens = ByteVocabulary().encode('né∀' * 40)
    t = TextTask(TextModel(ByteVocabulary(), 4, 8), Streams(tokens, 2, 9), tokens[:30])
    progress = begin(t, Adam(), 0)
    assert t.unit == 'byte' and task().unit == 'char'
    for _ in range(150): progress, _ = train_step(t, Adam(), progress, plan(0.05))
    assert t.validation_loss(progress.parameters) < 0.5 < np.log(256)
    text = ''.join(write(t.model, progress.parameters, 18, 'n', temperature=0))
    assert text.startswith('é∀né∀')


# -------------------------------------------------------------------------------------------------------------- writing

def test_drawing_a_token():
    rng, z = np.random.default_rng(0), np.array([0., 3., 1., 2.])
    assert {choose(z, 0, None, None, rng) for _ in range(5)} == {1}
    for top_k, left in ((2, {1, 3}), (3, {1, 2, 3}), (None, {0, 1, 2, 3})):
        assert {choose(z, 50.0, top_k, None, rng) for _ in range(500)} == left
    counts = np.bincount([choose(z, 1.0, None, None, rng) for _ in range(20_000)], minlength=4) / 20_000
    np.testing.assert_allclose(counts, np.exp(z) / np.exp(z).sum(), atol=0.015)
    assert choose(np.array([0., 5., -np.inf]), 1e-320, None, None, rng) == 1     # next to 0: nothing overflows


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=9), st.floats(0.01, 1), st.none() | st.integers(1, 9))
def test_a_nucleus_is_the_smallest_set_that_reaches_its_probability(weights, share, top_k):
    p = np.array(weights) / sum(weights)
    left = _allowed(p, top_k, share)
    assert len(set(left)) == len(left) and (np.diff(p[left]) <= 0).all()
    if top_k is not None: assert len(left) <= top_k
    assert p[left[:-1]].sum() < share + 1e-12, 'one fewer would not do'
    if len(left) < min(top_k or 99, len(p)): assert p[left].sum() >= share - 1e-12
    outside = np.setdiff1d(np.arange(len(p)), left)
    assert not len(outside) or p[outside].max() <= p[left].min(), 'the likeliest are in it'


@pytest.mark.parametrize('how', [{}, {'temperature': 0.7}, {'top_p': 0.6}, {'top_k': 2}, {'top_k': 3, 'top_p': 0.9}])
def test_what_is_left_keeps_its_proportions(how):
    z = np.array([1.0, 0.2, -0.5, 2.0, 0.9])
    p = choice_probabilities(z, **how)
    whole = np.exp(z / how.get('temperature', 1.0))
    left = p > 0
    np.testing.assert_allclose(p[left], whole[left] / whole[left].sum(), rtol=1e-12)
    assert left[3] and np.isclose(p.sum(), 1)


def test_writing_follows_the_network_step_by_step():
    t, parameters, _ = untrained()
    text = 'ab' + ''.join(write(t.model, parameters, 12, 'ab', temperature=0))
    tokens = VOCABULARY.encode(text)
    z, _, _ = t.model.network.forward(parameters, tokens[None])
    expected = 1 + z[1:, 0].argmax(axis=0)         # number 0 is never written
    assert (expected[1:-1] == tokens[2:]).all() and UNKNOWN not in text


def test_text_is_given_as_soon_as_it_is_chosen():
    "The generator does no more steps than were asked for"
    t, parameters, _ = untrained()
    asked = []
    def pick(z):
        asked.append(z)
        return 1
    tokens = _write_tokens(t.model, parameters, np.array([1]), 50, pick)
    assert [next(tokens) for _ in range(3)] == [1, 1, 1] and len(asked) == 3 and asked[0][0] == -np.inf


def test_the_same_seed_writes_the_same():
    t, parameters, _ = untrained()
    texts = [''.join(write(t.model, parameters, 60, temperature=1, rng=np.random.default_rng(s))) for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2] and len(texts[0]) == 60
    by_default, with_0 = (''.join(write(t.model, parameters, 9, rng=r)) for r in (None, np.random.default_rng(0)))
    assert by_default == with_0


def test_a_prompt_that_is_not_given():
    assert _prompt_tokens(VOCABULARY, '').tolist() == [1]
    with_lines = Vocabulary(UNKNOWN + '\nab')
    assert _prompt_tokens(with_lines, '').tolist() == with_lines.encode('\n').tolist() == [1]
    assert _prompt_tokens(ByteVocabulary(), '').tolist() == [10]
    assert _prompt_tokens(VOCABULARY, 'cab').tolist() == [3, 1, 2]


@given(st.text('ab\n', max_size=25), st.lists(st.text('ab\n', min_size=1, max_size=4), max_size=3), st.data())
def test_a_text_ends_before_the_stop_string_that_is_complete_first(text, stop, data):
    "However it is cut into pieces; compared with a search in the whole text"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)])]
    ends = [(i, len(s)) for i in range(len(text) + 1) for s in stop if text[:i].endswith(s)]
    if ends:
        first = min(i for i, _ in ends)
        expected = text[:first - max(n for i, n in ends if i == first)]
    else: expected = text
    assert ''.join(_until(pieces, stop)) == expected


def test_nothing_is_held_back_that_is_certain():
    stop, read = ['abc', 'xy'], []
    def pieces():
        for c in 'qabqxabz':
            read.append(c)
            yield c
    given = [(piece, ''.join(read)) for piece in _until(pieces(), stop)]
    assert given == [('q', 'q'), ('abq', 'qabq'), ('x', 'qabqxa'), ('abz', 'qabqxabz')]


BAD_WRITING = [('prompt', 'ü'), ('prompt', UNKNOWN), ('prompt', b'a'), ('stop', 'ab'), ('stop', ['a', '']),
               ('stop', [3]), ('stop', ['a', 'bü'])]


@pytest.mark.parametrize('name, wrong', BAD_WRITING)
def test_bad_input_to_writing_is_refused_before_the_first_character(name, wrong):
    t, parameters, _ = untrained()
    for use in (write, beam_search):
        error = TypeError if wrong == b'a' else ValueError
        with pytest.raises(error, match=f'^{name}: ') as said: use(t.model, parameters, **{name: wrong})
        assert '\n' not in str(said.value)


# ---------------------------------------------------------------------------------------------------------- beam search

def random_weights(t, seed):
    rng = np.random.default_rng(seed)
    return {name: w + 0.8 * rng.normal(size=w.shape) for name, w in t.begin(rng)[0].items()}


def log_probability(model, parameters, prompt, tokens):
    "Of some tokens after a prompt, from one reading; number 0, which is never written, has no share in it"
    read = np.concatenate([model.vocabulary.encode(prompt), tokens]).astype(int)
    z = model.network.forward(parameters, read[None, :-1])[0][1:, 0, -len(tokens):]
    return float((z - np.log(np.exp(z).sum(axis=0)))[np.array(tokens) - 1, np.arange(len(tokens))].sum())


@pytest.mark.parametrize('cell', CELLS)
@pytest.mark.parametrize('alpha', [0.0, 0.7, 1.0, 2.0])
@pytest.mark.parametrize('stop', [(), ('b',), ('ab', 'cc'), ('d', 'ad')])
def test_a_wide_beam_is_an_exhaustive_search(cell, alpha, stop):
    t, length = task(cell), 4
    parameters = random_weights(t, len(stop))
    texts = {''.join(letters) for letters in product('abcd', repeat=length)}
    shortest = {min((x[:x.find(s) + len(s)] for s in stop if s in x), key=len, default=x) for x in texts}
    every = {x: log_probability(t.model, parameters, 'ca', VOCABULARY.encode(x)) for x in shortest}
    best = sorted(every, key=lambda x: -every[x] / len(x)**alpha)
    found = beam_search(t.model, parameters, length, 'ca', 4**length, stop, alpha)
    assert [VOCABULARY.decode(h.tokens) for h in found] == best
    np.testing.assert_allclose([h.log_probability for h in found], [every[x] for x in best], rtol=1e-9)
    for h in found:
        whole = VOCABULARY.decode(h.tokens)
        ends = [s for s in stop if whole.endswith(s)]
        assert h.ended == bool(ends) and h.text == whole[:len(whole) - max(map(len, ends), default=0)]
        assert np.isclose(h.per_token, h.log_probability / len(whole))


@pytest.mark.parametrize('stop', [(), ('b', 'ca')])
@pytest.mark.parametrize('alpha', [0.0, 0.5, 1.0])
def test_a_narrow_beam_is_the_definition_of_beam_search(stop, alpha):
    "Against one that keeps every state apart, reads each text from its beginning, and never stops early"
    t = task()
    for seed in range(4):
        parameters = random_weights(t, seed)
        live, ended = [()], []
        def score(tokens, p=parameters): return log_probability(t.model, p, 'a', tokens)
        for _ in range(9):
            longer = sorted(((*x, k) for x in live for k in range(1, 5)), key=lambda x: -score(x))
            live = []
            for x in longer:
                if len(live) == 3: break
                done = any(VOCABULARY.decode(x).endswith(s) for s in stop)
                (ended if done else live).append(x)
        best = sorted([*ended, *live], key=lambda x: -score(x) / len(x)**alpha)[:3]
        found = beam_search(t.model, parameters, 9, 'a', 3, stop, alpha)
        assert [h.tokens for h in found] == best


def test_a_beam_of_one_is_greedy_and_the_search_ends_early():
    t = task()
    parameters = random_weights(t, 5)
    found, = beam_search(t.model, parameters, 30, 'ab', beam=1)
    assert found.text == ''.join(write(t.model, parameters, 30, 'ab', 0.0)) and not found.ended
    found = beam_search(t.model, parameters, 10**9, 'ab', 2, stop=['a', 'b', 'c', 'd'])
    assert [len(h.tokens) for h in found] == [1, 1]


def test_beam_search_of_bytes():
    model = TextModel(ByteVocabulary(), 3, 4)
    parameters = model.network.init(np.random.default_rng(0))
    found = beam_search(model, parameters, 5, 'é', 3)
    assert len(found) == 3 and all(len(h.tokens) == 5 for h in found)
    assert found[0].text == bytes(found[0].tokens).decode('utf-8', 'replace')


# ------------------------------------------------------------------------------------------------------------- on disk

@pytest.mark.parametrize('cell', CELLS)
@pytest.mark.parametrize('vocabulary', [VOCABULARY, ByteVocabulary()], ids=['chars', 'bytes'])
def test_a_model_comes_back_from_disk(cell, vocabulary, tmp_path):
    model = TextModel(vocabulary, 4, 6, cell, layers=2, dropout=0.25)
    parameters = model.network.init(np.random.default_rng(1))
    save_model(tmp_path/'weights.safetensors', model, parameters)
    for path in (tmp_path, tmp_path/'weights.safetensors', str(tmp_path)):
        again, same = load_model(path)
        assert again == model
        assert_close(same, parameters, rtol=0)


def test_a_model_that_was_saved_before_there_were_layers_is_read_and_what_holds_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match='no model at'): load_model(tmp_path)
    model = task(dtype='float32').model
    parameters = model.network.init(np.random.default_rng(1))
    about = {'vocabulary': VOCABULARY.characters, 'n_embedding': 4, 'n_a': 6, 'cell': 'lstm'}
    save_arrays(tmp_path/'weights.safetensors', parameters, about, 'rnn_nbdev text model 1')
    assert load_model(tmp_path)[0] == model
    save_arrays(tmp_path/'weights.safetensors', parameters, {**about, 'n_a': 7}, 'rnn_nbdev text model 1')
    with pytest.raises(ValueError, match='not the weights of its network: lstm'): load_model(tmp_path)

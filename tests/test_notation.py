"The conversions of the page on notation and memory, asked of the frameworks themselves"
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

page = Path(__file__).resolve().parent.parent/'nbs/explanations/01_notation_and_memory.ipynb'


@pytest.fixture(scope='module')
def names():
    "What the page has defined once its GRU has been converted"
    scope: dict = {}
    for cell in json.loads(page.read_text())['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'code': exec(source, scope)
        if 'def gru_to_onnx' in source: return scope
    raise AssertionError('the page has no gru_to_onnx')


@pytest.mark.parametrize('kind', ['lstm', 'gru'])
def test_keras_gives_our_states(names, kind):
    if 'KERAS_BACKEND' not in os.environ:
        pytest.importorskip('torch')
        os.environ['KERAS_BACKEND'] = 'torch'
    keras = pytest.importorskip('keras')
    x, a0, c0 = (names[name] for name in ('x', 'a0', 'c0'))
    n_x, m, T_x = x.shape
    make = {'lstm': keras.layers.LSTM, 'gru': keras.layers.GRU}[kind]
    layer = make(len(a0), return_sequences=True, dtype='float64')
    layer.build((m, T_x, n_x))
    weights = names[f'{kind}_to_keras'](names[kind])
    assert [w.name for w in layer.weights[:3]] == list(weights)
    layer.set_weights([*weights.values(), *layer.get_weights()[3:]])
    state = [keras.ops.convert_to_tensor(s.T) for s in (a0, c0)][:2 if kind == 'lstm' else 1]
    states = keras.ops.convert_to_numpy(layer(x.transpose(1, 2, 0), initial_state=state))
    ours = names['a'] if kind == 'lstm' else names['ours']
    np.testing.assert_allclose(states.transpose(2, 0, 1), ours, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('kind', ['lstm', 'gru'])
def test_onnx_runtime_gives_our_states(names, kind):
    onnx, runtime = pytest.importorskip('onnx'), pytest.importorskip('onnxruntime')
    x, a0, c0 = (np.float32(names[name]) for name in ('x', 'a0', 'c0'))
    weights = {name: np.float32(w) for name, w in names[f'{kind}_to_onnx'](names[kind]).items()}
    given = {'X': x.T.copy(), **weights, 'initial_h': a0.T[None].copy()}
    if kind == 'lstm': given['initial_c'] = c0.T[None].copy()
    order = ['X', 'W', 'R', 'B', '', *list(given)[4:]]          # '' stands for the lengths
    options = {'linear_before_reset': 1} if kind == 'gru' else {}
    node = onnx.helper.make_node(kind.upper(), order, ['Y'], hidden_size=len(a0), **options)
    inputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, v.shape) for name, v in given.items()]
    output = onnx.helper.make_tensor_value_info('Y', onnx.TensorProto.FLOAT, [x.shape[2], 1, x.shape[1], len(a0)])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], kind, inputs, [output]),
                                   opset_imports=[onnx.helper.make_opsetid('', 14)], ir_version=8)
    onnx.checker.check_model(model)
    states = runtime.InferenceSession(model.SerializeToString()).run(['Y'], given)[0][:, 0]
    ours = names['a'] if kind == 'lstm' else names['ours']
    np.testing.assert_allclose(states.T, ours, rtol=1e-4, atol=1e-5)


book = sorted(p for p in page.parent.parent.rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)
# Words of our own that have a usual name, which a reader can look up: the backward pass, validation loss, a dtype, ...
OURS = re.compile(r'\b(way back|whoever|by heart|(can|to) be had|(is|are) (told|borne|refused)|in vain|plain network|'
                  r'gang|taken up again|held[- ]out loss|number types?|whole numbers|proven|freedoms|send the helpers|'
                  r"longest allowed gradient|tokens' scores|stretch(es)? of text|dearest|a door for)\b", re.IGNORECASE)
USUAL = '''computational graph, hidden size, mini-batch, batch size, loss function, hyperparameter, regularisation,
    vanishing and exploding gradients, constant error carousel, backpropagation through time, truncated BPTT,
    exposure bias, autoregressive, bits per character, recurrent dropout, weight decay,
    learning-rate warm-up, many-to-one, many-to-many, encoder–decoder, attention,
    throughput, latency, GEMM'''


def prose(path: Path) -> str:
    "What a page says: its Markdown without code and equations, its docstrings, and the comments of its code"
    found = []
    for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown': found.append(re.sub(r'(?s)```.*?```|`[^`]*`|\$[^$]*\$', '', source))
        else:       # docstrings, comments (those of options and alt texts among them)
            found += map(' '.join, re.findall(r'(?ms)"""(.*?)"""|^\s+"([^"\n]+)"$|#\|? ([^\n]+)$', source))
    return '\n'.join(found)


@pytest.mark.parametrize('path', book, ids=lambda path: path.stem)
def test_a_page_uses_the_words_of_the_field(path):
    assert not [found[0] for found in OURS.finditer(prose(path))]


def emphasised(path: Path) -> str:
    "What stands in italics on a page"
    return ' | '.join(re.findall(r'(?<!\*)\*([^*\n]+)\*(?!\*)', prose(path))).lower()


def test_the_glossary_leads_to_where_a_term_is_introduced():
    "Each usual term is in it, and stands in italics on a page to which its row links"
    [glossary] = re.findall(r'^## Glossary\n(.*?)^## ', prose(page), re.DOTALL | re.MULTILINE)
    rows = [row for row in re.findall(r'^\|(.+?)\|.*\|(.*?)\|$', glossary, re.MULTILINE) if '*' in row[0]]
    listed = ' | '.join(re.findall(r'\*([^*]+)\*', glossary)).lower()
    whole, lost = emphasised(page), []
    for terms, links in rows:
        where = [emphasised((page.parent/link).resolve()) for link in re.findall(r'\]\(([^)#]+)', links)]
        if 'this page' in links: where.append(whole.replace(listed, ''))
        lost += [term for term in re.findall(r'\*([^*]+)\*', terms) if not any(term.lower() in text for text in where)]
    assert not lost and len(rows) > 20
    assert not [term for term in re.split(r',\s*', USUAL) if term.lower() not in listed]

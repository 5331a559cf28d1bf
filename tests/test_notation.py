"The conversions of the page on notation and memory, asked of the frameworks themselves"
import json
import os
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

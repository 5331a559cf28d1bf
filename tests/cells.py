"The cells of the book behind one interface, with inputs of any size, so that one test holds all of them."
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import rnn_nbdev


@dataclass(frozen=True)
class Sizes:
    "How large everything is"
    n_x: int = 3  # input features
    n_a: int = 5  # size of a state
    n_y: int = 4  # classes
    m: int = 2  # examples
    T: int = 6  # steps

    def __str__(self) -> str:
        return f'x{self.n_x}-a{self.n_a}-y{self.n_y}-m{self.m}-T{self.T}'


# 1 in every position, one at a time and all at once; more states than inputs and fewer; as many as there are
GRID = [Sizes(), *(Sizes(**{name: 1}) for name in ('n_x', 'n_a', 'n_y', 'm', 'T')), Sizes(1, 1, 1, 1, 1),
        Sizes(n_x=7, n_a=2, n_y=3, m=4, T=3), Sizes(4, 4, 4, 4, 4)]


@dataclass(frozen=True)
class Cell:
    "One cell: its functions, what it carries from step to step, and what the contract says of its parameters"
    name: str
    gates: str | None = None  # letters of the gates that act on [a_prev; xt]; None for the plain network
    states: tuple[str, ...] = ('a',)  # what is carried
    options: dict[str, Any] = field(default_factory=dict)  # keywords of the forward pass
    extra: tuple[str, ...] = ()  # biases beyond one a gate

    @property
    def base(self) -> str: return self.name.split('_')[0]

    @property
    def output(self) -> str: return 'Wya' if self.gates is None else 'Wy'

    def function(self, suffix: str) -> Callable:
        "`lstm_forward` and the like, from the package itself"
        return getattr(rnn_nbdev, f'{self.base}_{suffix}')

    def shapes(self, s: Sizes) -> dict[str, tuple[int, ...]]:
        "The shape of each parameter, the output layer included"
        output = {self.output: (s.n_y, s.n_a), 'by': (s.n_y, 1)}
        if self.gates is None: return {'Wax': (s.n_a, s.n_x), 'Waa': (s.n_a, s.n_a), 'ba': (s.n_a, 1), **output}
        weights = {f'{kind}{g}': (s.n_a, s.n_a + s.n_x if kind == 'W' else 1) for g in self.gates for kind in 'Wb'}
        return {**weights, **dict.fromkeys(self.extra, (s.n_a, 1)), **output}

    def without_output(self, parameters: dict) -> dict:
        "The cell's own parameters"
        return {name: p for name, p in parameters.items() if name not in (self.output, 'by')}

    def forward(self, x, initial: dict, parameters) -> tuple[dict, tuple]:
        "The sequence pass: every result by name, and the caches"
        if 'c' not in self.states:
            a, y, caches = self.function('forward')(x, initial['a0'], parameters, **self.options)
            return {'a': a, 'y': y}, caches
        a, y, c, caches = self.function('forward')(x, initial['a0'], parameters, c0=initial['c0'])
        return {'a': a, 'c': c, 'y': y}, caches

    def backward(self, upstream: dict, caches: tuple) -> dict:
        "Back through time from the gradient of every state, the gradients of all initial states included"
        if 'c' not in self.states: return self.function('backward')(upstream['a'], caches)
        return self.function('backward')(upstream['a'], caches, dc=upstream.get('c'), with_dc0=True)

    def step(self, xt, initial: dict, parameters) -> tuple[dict, tuple]:
        "One step: every result by name, and the cache"
        *results, cache = self.function('cell_forward')(xt, *initial.values(), parameters, **self.options)
        return dict(zip((*self.states, 'y'), results)), cache

    def step_backward(self, upstream: dict, cache: tuple) -> dict:
        return self.function('cell_backward')(*(upstream[s] for s in self.states), cache)

    def loss(self, x, initial: dict, parameters, targets, mask=None) -> tuple:
        return self.function('loss')(x, *initial.values(), parameters, targets, mask, **self.options)

    def loss_backward(self, dloss, cache) -> dict:
        return self.function('loss_backward')(dloss, cache)


CELLS = [Cell('rnn'), Cell('lstm', 'fico', ('a', 'c')), Cell('gru', 'urc'),
         Cell('gru_reset_after', 'urc', options={'reset_after': True}, extra=('brc',))]
by_cell = pytest.mark.parametrize('cell', CELLS, ids=lambda cell: cell.name)
by_size = pytest.mark.parametrize('sizes', GRID, ids=str)


@dataclass
class Example:
    "Everything that goes into a cell, and a gradient for everything that comes out"
    x: np.ndarray
    initial: dict[str, np.ndarray]  # a0, and c0 for the LSTM
    parameters: dict[str, np.ndarray]
    upstream: dict[str, np.ndarray]  # of each state at each step
    targets: np.ndarray
    mask: np.ndarray  # at least one target counts


def example(cell: Cell, s: Sizes, rng: np.random.Generator, dtype=np.float64) -> Example:
    "Inputs and parameters with nothing in them zero, biases and initial states included"
    def draw(*shape: int) -> np.ndarray: return rng.standard_normal(shape).astype(dtype)
    parameters = {name: draw(*shape) / dtype(np.sqrt(shape[1])) for name, shape in cell.shapes(s).items()}
    mask = rng.random((s.m, s.T)) < 0.6
    mask[rng.integers(s.m), rng.integers(s.T)] = True
    return Example(draw(s.n_x, s.m, s.T), {f'{state}0': draw(s.n_a, s.m) for state in cell.states}, parameters,
                   {state: draw(s.n_a, s.m, s.T) for state in cell.states}, rng.integers(s.n_y, size=(s.m, s.T)), mask)


def gradient_names(cell: Cell, parameters: dict, of: str = 'sequence') -> list[str]:
    "The names of everything that a backward pass of the cell gives, `c0` included"
    first = {'sequence': ['dx', *(f'd{s}0' for s in cell.states)],
             'cell': ['dxt', *(f'd{s}_prev' for s in cell.states)]}
    return first[of] + [f'd{name}' for name in parameters]


def close(got, want, rtol: float = 1e-10, atol: float = 1e-13, name: str = '') -> None:
    "Arrays, or dictionaries of them, of the same names and shapes, equal within tolerance"
    if isinstance(want, dict):
        assert set(got) == set(want), f'{name}: got {sorted(got)}, expected {sorted(want)}'
        for key in want: close(got[key], want[key], rtol, atol, f'{name} {key}')
        return
    assert np.shape(got) == np.shape(want), f'{name}: got shape {np.shape(got)}, expected {np.shape(want)}'
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=name)

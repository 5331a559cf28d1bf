"""Break the package on purpose, one line at a time, and see that a test fails for each.

    python tests/mutations.py [--jobs N] [WORD ...]     only the breakages whose module or description has a WORD
    python tests/mutations.py --sample 30 --seed 7      some of them, drawn with a seed (today's date by default)

Each breakage is made in a temporary copy of the package; the working tree is never written to. To add one, add a
tuple to MUTATIONS: module, old text (exactly once in the module), new text, what it is.
"""
import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Those that run in seconds, the most telling first; a breakage is looked for in this order.
TESTS = ['test_oracle.py', 'test_textbook.py', 'test_properties.py', 'test_errors.py', 'test_gradcheck.py']
# The chapters from the layers on have tests of their own.
TESTS_OF = {'checks': ['test_layers.py', *TESTS], 'layers': ['test_layers.py', 'test_text.py'],
            'networks': ['test_layers.py'],
            'problems': ['test_data.py'], 'reber': ['test_data.py'], 'data': ['test_data.py'],
            'kernels': ['test_kernels.py'], 'gemm': ['test_kernels.py'], 'jit': ['test_kernels.py'],
            'threads': ['test_kernels.py'], 'fused': ['test_kernels.py'],
            'outputs': ['test_kernels.py'],
            'text': ['test_text.py', 'test_cli.py'], 'decoding': ['test_text.py'],
            'cli': ['test_cli.py'], 'practice': ['test_practice.py'],
            'optim': ['test_optim.py', *TESTS],
            'schedule': ['test_optim.py'],
            'files': ['test_files.py', 'test_train.py', 'test_cli.py'],
            'train': ['test_train.py', 'test_text.py', 'test_cli.py']}

MUTATIONS = [
    # numerics
    ('numerics', 'np.exp(x - x.real.max(axis=0))', 'np.exp(x - x.real.max())',
     "softmax with the whole array's maximum"),
    ('numerics', 'e / e.sum(axis=0)', 'e / e.sum()', 'softmax over everything instead of each column'),
    ('numerics', '(dy * y).sum(axis=0)', '(dy * y).sum()', "softmax's gradient summed over everything"),
    ('numerics', 'right = x.real >= 0', 'x = np.clip(x, -30, 30); right = x.real >= 0',
     'sigmoid of a clipped argument'),
    ('numerics', 'np.where(right, x.dtype.type(1), z) / (1 + z)', '(1 + np.tanh(x / 2)) / 2',
     'sigmoid by way of tanh: no left tail'),
    ('numerics', 'ds * s * (1 - s)', 'ds * (1 - s)', "a factor of the sigmoid's slope left out"),
    ('numerics', 'da * (1 - a * a)', 'da * (1 - a)', "the tanh's slope without its square"),
    ('numerics', 'return highest + np.log', 'return np.log', 'logsumexp that forgets the maximum'),
    ('numerics', 'dlog_y - np.exp(log_y) *', 'dlog_y + np.exp(log_y) *', "log-softmax's gradient with a wrong sign"),
    ('numerics', "dtype, order='F')", "dtype, order='C')", 'sequences that do not lie step by step'),
    # checks
    ('checks', 'np.result_type(*dtypes)', 'np.float64', 'integers turn float32 into float64'),
    ('checks', 'if (known := sizes.get(term)) == size: continue', 'if known := sizes.get(term): continue',
     'sizes are not compared'),
    ('checks', 'if owner == name]', 'if 0]', 'an error takes the sizes of the array at fault for given'),
    ('checks', 'if self.alone and (unknown', 'if False and (unknown', 'a name that nobody knows is dropped silently'),
    ('checks', 'if key in value and not inside:', 'if 0:', 'a brc that would have no part is no error'),
    # losses
    ('losses', '(weights / weights.sum()).astype', '(weights / 1).astype', 'a sum in the place of the mean'),
    ('losses', 'weights / weights.sum()', 'weights / weights.size', 'a mean over the targets that do not count, too'),
    ('losses', 'np.asarray(mask, np.float64)', 'np.ones(shape)', 'the mask is not looked at'),
    ('losses', 'dz *= log_y.dtype.type(dloss) * w', 'dz *= w', 'the upstream gradient of the loss is dropped'),
    ('losses', 'np.put_along_axis(dz, k[None], right - 1, axis=0)', '', 'the right answer is not taken off'),
    ('losses', '2 * error', 'error', 'the 2 of the square left out'),
    ('losses', "'dy': -dy_pred", "'dy': dy_pred", 'a sign of the squared error'),
    # init
    ('init', "forget_bias if g == 'f'", "forget_bias if g == 'i'", "the forget gate's bias at another gate"),
    ('init', 'np.where(np.diag(R) < 0, -1, 1)', 'np.diag(R)', 'a matrix that is not orthogonal'),
    # rnn
    ('rnn', 'np.tanh(Wax @ xt + Waa @ a_prev + ba)', 'np.tanh(Wax @ xt + Waa @ a_prev)', 'the bias is not added'),
    ('rnn', "parameters['Waa'].T @ dz", "parameters['Waa'] @ dz", 'weights not transposed on the way back'),
    ('rnn', 'dba = dz.sum(', 'dba = dz.mean(', 'a mean for a sum over the examples'),
    ('rnn', 'step(x[:, :, t], a_next,', 'step(x[:, :, t], a0,', 'the state is not carried on'),
    ('rnn', 'da[:, :, t] + da_prev', 'da[:, :, t]', 'the gradient is not carried back'),
    ('rnn', 'da[:, :, t] + da_prev', 'np.add(da[:, :, t], da_prev, out=da[:, :, t])',
     'the upstream gradient is written to'),
    ('rnn', 'sums[name] += gradients[name]', 'sums[name] = gradients[name]',
     'the first step alone, not the sum of all'),
    ('rnn', "'db': dz_columns.sum(", "'db': 0 * dz_columns.sum(", "the output bias' gradient is dropped"),
    ('rnn', 'z = (as_columns(a).T @ W.T + b.T).T', 'z = (as_columns(a).T @ W.T).T', 'the output bias is not added'),
    ('rnn', "x.reshape(len(x), -1, order='F')", "x.reshape(len(x), -1, order='C')", 'examples and steps mixed up'),
    ('rnn', "targets=Classes('m T_x')", 'targets=object', 'targets are not looked at'),
    # lstm
    ('lstm', 'ft * c_prev + it * cct\n', 'it * c_prev + ft * cct\n', 'forget and update gate swapped'),
    ('lstm', 'dft, dc_prev = dc * c_prev, dc * ft', 'dft, dc_prev = dc * c_prev, dc * it',
     'a gate swapped on the way back'),
    ('lstm', 'ot * np.tanh(c_next)', 'ot * c_next', 'the cell state is shown without its tanh'),
    ('lstm', 'tanh_backward(da_next * ot, tanh_c)', 'da_next * ot', "the slope of the cell state's tanh left out"),
    ('lstm', 'dc_prev if dc is None', '0 * dc_prev if dc is None', "the cell state's gradient is not carried back"),
    ('lstm', 'da[:, :, t] + da_prev', 'da[:, :, t]', "the hidden state's gradient is not carried back"),
    ('lstm', 'step(x[:, :, t], a_next, c_next,', 'step(x[:, :, t], a_next, 0 * c_next,',
     'the cell state is not carried on'),
    ('lstm', 'dtype) if c0 is None else c0, []', 'dtype), []', 'c0 is ignored'),
    ('lstm', "dweights[f'db{g}'] = dz_g.sum(", "dweights[f'db{g}'] = dz_g.mean(",
     'a mean for a sum in the bias gradients'),
    ('lstm', "parameters[f'W{g}'].T @ dz_g", "parameters[f'W{g}'].T @ (dz_g * (g != 'o'))",
     "a gate's way back to input and state left out"),
    ('lstm', 'concat = np.concatenate((a_prev, xt))', 'concat = np.concatenate((xt, a_prev))',
     'input and state swapped'),
    # kernels
    ('kernels', 'R[:size, n:K - 1] = _across(_input_rows(source, now))',
     'R[:size, n:K - 1] = _across(_input_rows(source, slice(size)))', 'the first input again'),
    ('kernels', 'f[:, ended] = states[lengths[ended] - t, :, ended].T', 'f[:, ended] = states[-1][:, ended]',
     'the final state of an example that has ended is taken at the end of the others'),
    ('kernels', 'W[:n] = np.roll(W[:n], -n, axis=1)', 'W[:n] = np.roll(W[:n], n, axis=1)',
     "the candidate's weights in the wrong order"),
    ('kernels', 'D[:, now] = dZ[:size].transpose(1, 0, 2)', 'D[:, now] = dZ[:size][::-1].transpose(1, 0, 2)',
     'steps turned around within a block'),
    ('kernels', 'return thinned(cell, gradients, d)', 'return dict(gradients)', 'units left out count in the gradient'),
    ('kernels', 'return np.roll(d[n:] @ a_prev, n, axis=0)', 'return d[n:] @ a_prev', 'gates in another order'),
    ('kernels', 'sums[present] = np.add.reduceat(d[order], first, axis=0)', 'sums[present] = d[order][first]',
     "a token's gradient from its first place alone"),
    ('kernels', 'return dWx, drows if where is None else sum_by_row(', 'return dWx, drows if True else sum_by_row(',
     'the gradient of a table, place by place'),
    ('kernels', 'if where is not None and len(rows) < n_x * (1 + inputs):', 'if False:',
     'the gradients of few tokens are not added first'),
    ('kernels', 'one_hot[np.arange(len(index)), index] = 1', 'one_hot[np.arange(len(index)), index[::-1]] = 1',
     "each token gets another place's gradient"),
    ('kernels', 'return source.rows[now] if source.where is None else source.rows[source.where[now]]',
     'return source.rows[now] if source.where is None else source.rows[source.where[:1]]',
     'tokens are looked up at the first step'),
    ('kernels', 'if plan is not None: _clear(counts[now], dZ)', 'if plan is None: _clear(counts[now], dZ)',
     'gradients where an example has no step'),
    # gemm
    ('gemm', 'b = B + j*abs(stride)*size', 'b = B + turn*abs(stride)*size', 'panels backwards, their results forwards'),
    # fused
    ('fused', 'multiply(one, n_y, total, ldp, total, ldp, d', 'multiply(one, n_y, total, ldp, zero, 0, d',
     "of an output layer's gradient, the last block alone"),
    ('fused', 'logits, z = block[r], Z[start + r]', 'logits, z = block[r], Z[r]',
     "an output layer's scores at another block's place"),
    ('fused', 'product, dx, dz = P[r], dX[start + r],', 'product, dx, dz = P[r], dX[m0 + r],',
     "an output layer's inputs get the last block's gradient"),
    ('fused', 'low[j] = high[j] if high[j] > low[j] else low[j]', 'low[j] = low[j]', 'the highest score is the first'),
    ('fused', 'd[k[row]] -= w[row]', 'd[k[r]] -= w[row]', "the right answer of another block's row"),
    ('fused', 'bias[len(W):] = filler', 'bias[len(W):] = 0', 'what fills a panel counts as a class'),
    ('fused', 'zero if x < low else e', 'e', 'an exponential that never gets to 0'),
    ('fused', 'kept_s * s[j] + share_s *', 'kept_s * s[j] + share_v *', "Adam's squares by the share of its means"),
    # outputs
    ('outputs', 'return backward(dz, inner)', 'return backward(-dz, inner)', 'the way back from the scores, negated'),
    ('outputs', 'cross_entropy(z, targets, mask)', 'cross_entropy(z, targets)',
     'a loss by its scores forgets the mask'),
    ('outputs', 'a, W, b, targets, mask)\n        return', 'a, W, b, targets)\n        return',
     'a compiled loss forgets the mask'),
    ('outputs', 'cross_entropy_backward(dloss, entropy)', 'cross_entropy_backward(1.0, entropy)',
     'a gradient of the loss that is not handed on'),
    ('outputs', 'worth_compiled(a, W, b, _LEAST_LOSS)', 'worth_compiled(a, W, b, 10**9)',
     'a loss that is never compiled'),
    # gru
    ('gru', 'ut * cct + (1 - ut) * a_prev\n    yt', '(1 - ut) * cct + ut * a_prev\n    yt',
     'the update gate turned around'),
    ('gru', 'da_next * (cct - a_prev)', 'da_next * (a_prev - cct)', "the sign of the update gate's gradient"),
    ('gru', 'return ds * rt, dxt, ds * a_prev, dweights', 'return ds, dxt, ds * a_prev, dweights',
     "the reset gate left out on the state's way back"),
    ('gru', 'np.tanh(rt * qt +', "np.tanh(rt * (qt - parameters['brc']) + parameters['brc'] +",
     'the inner bias outside the reset gate'),
    ('gru', 'dqt @ a_prev.T', 'dzc @ a_prev.T', 'the second form with the gradient of the first'),
    ('gru', "'dbrc': dqt.sum(", "'dbrc': dzc.sum(", "the inner bias' gradient without the gate"),
    ('gru', 'da[:, :, t] + da_prev', 'da[:, :, t]', 'the gradient is not carried back'),
    # gradcheck
    ('gradcheck', 'ok = central <= tolerance', 'ok = central <= np.inf',
     'a check that central differences cannot fail'),
    ('gradcheck', 'return worst if np.isfinite(worst) else np.inf', 'return worst', 'a gradient of NaN is no error'),
    ('gradcheck', 'if given is None: return np.inf if np.any(measured) else 0.0', 'if given is None: return 0.0',
     'a gradient that is missing is no error'),
    ('gradcheck', 'a.shape == e.shape', 'a.size == e.size', 'a comparison that takes a row for a column'),
    # optim
    ('optim', "np.sqrt(s_corrected[f'd{n}'] + epsilon)", "(np.sqrt(s_corrected[f'd{n}']) + epsilon)",
     "epsilon outside the root in the textbook's Adam"),
    ('optim', 'm / (1 - beta1**t)', 'm', "Adam's mean is not corrected"),
    ('optim', "(1 - beta2) * grads[f'd{n}']**2", "(1 - beta2) * grads[f'd{n}']", "Adam's squares are not squared"),
    ('optim', '(np.sqrt(s / (1 - self.beta2**t)) + self.epsilon)', 'np.sqrt(s / (1 - self.beta2**t) + self.epsilon)',
     "epsilon inside the root in the paper's Adam"),
    ('optim', 'p * (1 - rate * self.weight_decay) - rate * step', 'p - rate * (step + self.weight_decay * p * p)',
     'a weight decay that is not one'),
    ('optim', 'g + self.momentum * v if self.nesterov', 'g + v if self.nesterov', 'Nesterov looks too far ahead'),
    ('optim', 'rate * g / (np.sqrt(s) + self.epsilon)', 'rate * g / np.sqrt(s + self.epsilon)',
     "RMSProp's epsilon inside the root"),
    ('optim', 'share = 1 / max(1, t - self.start)', 'share = 1 / max(1, t)', 'a mean that forgets where it began'),
    ('optim', 'means = tuple(state[', 'means = tuple(0 * state[', 'an optimizer that remembers nothing'),
    ('optim', "gradients=_Gradients(like='parameters', alone=True)", "gradients=_Gradients(like='parameters')",
     'a gradient that nobody asked for is dropped'),
    ('optim', 'if kind != p.dtype and np.result_type(kind, p.dtype) != np.result_type(p.dtype):', 'if False:',
     'float64 gradients turn float32 weights into float64'),
    ('optim', 'g * (max_norm / norm)', 'g * max_norm', 'clipping that makes short gradients of all'),
    # layers and networks
    ('layers', 'x.T[valid_steps(lengths, x.shape[-1]).T].T', 'x.reshape(*x.shape[:-2], -1)',
     'padding is read by layers without time'),
    ('layers', "((rng.random(shape) >= p) / (1 - p))", "(rng.random(shape) >= p)",
     'dropout that does not scale what stays'),
    ('layers', 'dparameters = thinned_backward(self.kernel, dparameters, d)', 'pass',
     'recurrent dropout whose gradient knows no mask'),
    ('layers', 'if how.training and self.dropout:', 'if self.dropout:', 'recurrent dropout when not training'),
    ('layers', "lengths_of(how.lengths, x[None]), table)", "lengths_of(how.lengths, x[None]), table * 2)",
     'a layer that looks up something else than the embedding'),
    ('layers', "return W if self.padding is None else", 'return W if True else', 'a padding token that is learned'),
    ('layers', "if layers and str(key).partition('.')[0] not in layers:", 'if False:',
     'parameters of no layer are dropped silently'),
    ('networks', 'last = np.broadcast_to(lengths - 1, x.shape[:2])',
     'last = np.broadcast_to(x.shape[2] - 1, x.shape[:2])',
     "the batch's last step in the place of the example's"),
    ('networks', "np.where(valid_steps(lengths, x.shape[2]), x.real, -np.inf).argmax(axis=2)", 'x.real.argmax(axis=2)',
     'a maximum over the padding, too'),
    ('networks', "sum(axis=2) / lengths.astype(x.real.dtype)", "mean(axis=2)", 'a mean over the padding, too'),
    ('networks', "return dx['forward'] + dx['backward']", "return dx['forward']",
     "the backward direction's gradient is dropped"),
    ('networks', "replace(self.layer, reverse=True)", 'self.layer', 'two directions that are one'),
    ('networks', 'return _zero_padding(dy, own) + np.asarray(df)', 'return np.asarray(df)',
     'the way past a residual layer has no gradient'),
    ('networks', '(*(1 for _ in time), m, n)', '(*time, m, n)', 'a new mask at every step when one was asked for'),
    # schedule
    ('schedule', 'then(0) * (step + 1) / steps', 'then(0) * step / steps', 'a warm-up whose first step is zero'),
    ('schedule', 'factor**(step // every)', 'factor**(step / every)', 'stairs without steps'),
    ('schedule', 'top = rise * steps - 1', 'top = rise * steps', 'a cycle that turns one step late'),
    ('schedule', 'if waited > self.validations: waited', 'if waited >= self.validations: waited',
     'patience that runs out one validation early'),
    ('schedule', 'loss < best - self.gain * abs(best)', 'loss < best', 'any gain is enough'),
    # practice
    ('practice', 'for start in range(0, len(order), batch_size)', 'for start in range(0, len(order) - 1, batch_size)',
     'an example that is never trained on'),
    ('practice', 'argmax(smoothed - ends)', 'argmin(smoothed - ends)', 'the rate at which the loss explodes'),
    # data and text
    ('data', 'return text[:cut], text[cut:]', 'return text, text[cut:]', 'trained on what is held out'),
    ('text', "if name not in ('k', 'offset')}", "if name in ('a',)}", 'the state is not carried to the next window'),
    ('text', 'return window[:, :-1], window[:, 1:]', 'return window[:, :-1], window[:, :-1]',
     'the target is the character itself'),
    ('text', 'window[:, :-1], state, Pass(training=False))', 'window[:, :-1], None, Pass(training=False))',
     'a measurement that forgets at each window'),
    ('text', 'trusted(log_softmax)(z / temperature)', 'log_softmax(z * temperature)',
     'measured at the inverse temperature'),
    ('text', 'return loss * (tokens / units) / np.log(2)', 'return loss * (units / tokens) / np.log(2)',
     'bits a byte the wrong way round'),
    ('text', 'Pass(rng=rng)', 'Pass(rng=np.random.default_rng(0))',
     'the same units are dropped at every step'),
    ('text', 'if self.dropout: parts', 'if False: parts', 'dropout is left out'),
    ('text', '            n_in = self.n_a\n', '', 'the second layer takes the size of the first'),
    ('text', "if bad: raise ArgumentError(f'{name}: {bad} of", "if False: raise ArgumentError(f'{name}: {bad} of",
     'weights that are not numbers are used'),
    ('text', 'if len(kinds) > 1 or', 'if False and', 'weights of mixed types are used'),
    ('text', 'final=byte is None', 'final=False', 'the beginning of a character at the end is lost'),
    ('text', "sorted(set(text) - set(self.characters[1:]))", "sorted(set(text) - set(self.characters))",
     'a prompt may hold the character that stands for all others'),
    # decoding
    ('decoding', 'z[list(model.vocabulary.unwritten)] = -np.inf', 'pass',
     'writes the character that stands for all others'),
    ('decoding', 'np.argsort(-p, kind', 'np.argsort(p, kind', 'draws among the unlikeliest'),
    ('decoding', 'np.searchsorted(np.cumsum(p[order]), top_p)) + 1', 'np.searchsorted(np.cumsum(p[order]), top_p))',
     'a nucleus with one token too few'),
    ('decoding', 'p[left] / p[left].sum()', 'p[left]', 'probabilities that do not add up to 1'),
    ('decoding', '(z - z.max()) / temperature', '(z - z.max()) * temperature', 'the inverse temperature'),
    ('decoding', 'z[:, :, -1].copy()', 'z[:, :, 0].copy()', 'goes on from the first character of the prompt'),
    ('decoding', 'range(1, len(s)) if', 'range(1, len(s) - 1) if', 'a character of a stop string gets out'),
    ('decoding', 'if ended: return\n', 'if ended: held = ""\n', 'a stop string is cut out, and writing goes on'),
    ('decoding', "    if held: yield held\n", "    return\n", 'what was held back is lost at the end'),
    ('decoding', 's[:, parents]', 's[:, [0] * len(parents)]', "every text goes on from the best one's state"),
    ('decoding', 'if found.ended: ended.append(found)', 'if found.ended: pass', 'texts that ended are forgotten'),
    ('decoding', 'live[0].score(alpha, length)', 'live[0].score(alpha)', 'a search that ends too early'),
    ('decoding', 'np.array([h.log_probability for h in live]) + log_y', '0 * len(live) + log_y',
     'only the probability of the last token counts'),
    ('decoding', '** alpha', '** 0', 'lengths are not made up for'),
    ('decoding', 'text[:len(text) - ended]', 'text', 'the stop string is written'),
    # training
    ('train', "_PARTS = ('parameters', 'optimizer', 'carry', 'average', 'watch')",
     "_PARTS = ('parameters', 'carry', 'average', 'watch')", 'the optimizer is not in the checkpoint'),
    ('train', "'carry', 'average', 'watch')", "'carry', 'average')", 'patience is not in the checkpoint'),
    ('train', 'part = count / units', 'part = 0.5', 'accumulated batches that do not count by their units'),
    ('train', 'plan.plateau_factor**times,', 'plan.plateau_factor,', 'the rate is lowered once only'),
    ('train', 'min(rate, plan.plateau_lowest)', 'plan.plateau_lowest', 'a plateau that raises the rate to its floor'),
    ('train', '            if self.at_once: raise\n', '', 'a second Ctrl-C is swallowed by a callback'),
    ('train', "if not _all_finite(a for _, a in after)", 'if False', 'weights that are not finite go on'),
    ('train', "np.argsort(losses, kind='stable')", "np.argsort(-losses, kind='stable')",
     'the worst are kept for the best'),
    ('train', 'if plan.max_value is not None: gradients', 'if False: gradients', 'values are not clipped'),
    ('train', "losses.get('averaged_validation_loss', losses['validation_loss'])", "losses['validation_loss']",
     'the loss of the raw weights counts where they are averaged'),
    ('train', "rng.bit_generator.state = about['generator']", 'pass', 'the generator starts anew on resume'),
    ('train', "kept = {int(step) for step in progress.watch.get('best.step', ())}", 'kept = set()',
     'the best checkpoints are removed'),
    ('train', "      settings=Json(), callbacks=", '      callbacks=', 'settings are looked at when the run has ended'),
    ('files', "said = {'kind': kind, 'turned': turned, 'about': about}",
     "said = {'kind': kind, 'about': about, 'turned': []}", 'the memory order is not kept'),
    ('problems', "for half in ((0, T // 2), (T // 2, T))", "for half in ((T // 2, T), (T // 2, T))",
     'both marks in one half'),
    ('reber', 'if len(ending) <= len(grammar):', 'if False:',
     'a grammar without an end'),
    ('practice', 'fuzzy = lengths[order] *', 'fuzzy = 1.0 *', 'batches of any lengths'),
    ('files', 'os.replace(beside, path)', "Path(path).write_bytes(b''); os.replace(beside, path)",
     'a file that is empty for a moment'),
    ('files', "if header.pop('sha256', None) != _fingerprint(stored, header) or",
     "header.pop('sha256'); return stored, {}\n    if",
     'a damaged checkpoint is trusted'),
    ('cli', 'if text.sha256 != expected', 'if False', 'a run goes on with another text'),
    ('cli', 'Adam(weight_decay=s.decay)', 'Adam()', 'weight decay that is none'),
    ('cli', 'averaged_parameters(progress.average) if progress.average else', 'progress.parameters if False else',
     'averaged weights are not used'),
    ('cli', 'progress, _ = load_checkpoint(best[0][1])', 'pass', 'the last weights are called the best'),
    ('cli', 'settings = replace(settings, horizon=settings.steps)', 'pass', 'a schedule whose end moves on resume'),
    ('cli', 'if s.horizon and s.steps > s.horizon', 'if False', 'steps beyond the end of the schedule'),
    ('cli', 'max_value=s.clipvalue or None', 'max_value=None', 'a limit that is not kept'),
    ('cli', 'accumulate=s.accumulate', 'accumulate=1', 'nothing is accumulated'),
    ('cli', 'at = stream * length + step + 1', 'at = stream * length + step', 'the place before the surprise'),
    ('cli', 'bits(loss, n, size)', 'bits(loss, size, n)', 'bits of the other unit the wrong way round'),
    ('cli', "and value != getattr(settings, name)", 'and False',
     'other settings are dropped silently'),
]


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess:
    "Run Python beside a copy of the package, which it then imports in the place of the installed one"
    env = {**os.environ, 'PYTHONPATH': str(copy), 'CI': 'true', 'PYTHONDONTWRITEBYTECODE': '1', 'OMP_NUM_THREADS': '1',
           'OPENBLAS_NUM_THREADS': '1', 'HYPOTHESIS_STORAGE_DIRECTORY': str(copy/'hypothesis')}
    return subprocess.run([sys.executable, *arguments], cwd=copy, env=env, capture_output=True, text=True, check=False)


def fails(package: Path, module: str = '', old: str = '', new: str = '') -> str | None:
    "The first test that fails with `old` replaced by `new` in a copy of the package; None if all pass"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(package, copy/'rnn_nbdev', ignore=shutil.ignore_patterns('__pycache__'))
        if module:
            path = copy/'rnn_nbdev'/f'{module}.py'
            text = path.read_text(encoding='utf-8')
            if text.count(old) != 1:
                raise SystemExit(f'{module}: {old!r} is there {text.count(old)} times, expected once')
            path.write_text(text.replace(old, new), encoding='utf-8')
        where = run(copy, '-c', 'import rnn_nbdev; print(rnn_nbdev.__file__)').stdout.strip()
        if Path(where).resolve() != (copy/'rnn_nbdev'/'__init__.py').resolve():
            raise SystemExit(f'the tests would import {where}, not the copy')
        names = TESTS_OF.get(module, TESTS)
        tests = [str(ROOT/'tests'/name) for name in names if (ROOT/'tests'/name).exists()]
        done = run(copy, '-m', 'pytest', '-x', '-q', '--tb=no', '-rf', '-p', 'no:cacheprovider',
                   '-c', str(ROOT/'pyproject.toml'), '--rootdir', str(ROOT), *tests)
        if done.returncode == 0: return None
        failed = re.search(r'^FAILED .*?(test_\w+\.py::.+?)(?: - |$)', done.stdout, re.MULTILINE)
        if failed is None:
            raise SystemExit(f'{module}, {old!r}: no test failed, but the run itself:\n{done.stdout}{done.stderr}')
        return failed[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('words', nargs='*', metavar='WORD', help='only breakages with this in module or description')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='how many at a time')
    parser.add_argument('--sample', type=int, help='so many of them, drawn at random')
    parser.add_argument('--seed', type=int, default=date.today().toordinal(), help='what the sample is drawn with')
    options = parser.parse_args()
    chosen = [m for m in MUTATIONS if not options.words or any(word in f'{m[0]} {m[3]}' for word in options.words)]
    if options.sample and options.sample < len(chosen):
        print(f'a sample of {options.sample} of {len(chosen)}, seed {options.seed}')
        chosen = random.Random(options.seed).sample(chosen, options.sample)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        # one snapshot for all, so that work going on in the tree changes nothing here
        package = Path(shutil.copytree(ROOT/'rnn_nbdev', Path(folder)/'rnn_nbdev'))
        if found := fails(package): raise SystemExit(f'{found} fails with nothing broken')
        survivors = 0
        found = pool.map(lambda m: fails(package, *m[:3]), chosen)
        for (module, _, _, what), test in zip(chosen, found):
            survivors += test is None
            print(f'{module:<10} {what:<58} {test or "SURVIVED: no test fails"}', flush=True)
    print(f'{len(chosen)} broken, {len(chosen) - survivors} found, {survivors} survived')
    return 1 if survivors or not chosen else 0


if __name__ == '__main__': sys.exit(main())

"""The three latent dynamics cells: one interface, and each one's wiring."""

import numpy as np
import pytest
import tensorflow as tf

from planet_tf.models import cell, rssm
from planet_tf.models.drnn import DRNN
from planet_tf.models.rssm import RSSM
from planet_tf.models.ssm import SSM

B, T, A, E, S, D = 2, 4, 2, 5, 3, 6

FLAGS = (
    "encoder_to_decoder",
    "sample_to_sample",
    "sample_to_encoder",
    "decoder_to_encoder",
    "decoder_to_sample",
    "action_to_decoder",
)
ALL = dict.fromkeys(FLAGS, True)
NONE = dict.fromkeys(FLAGS, False)


def _rssm(**options):
    return RSSM(A, E, stoch=S, deter=D, **options)


def _ssm(**options):
    return SSM(A, E, stoch=S, units=D, **options)


def _drnn(**options):
    return DRNN(A, E, stoch=S, units=D, **options)


CELLS = {
    "rssm": lambda: _rssm(),
    "rssm two layers": lambda: _rssm(layers=2),
    "rssm past prior": lambda: _rssm(future_rnn=False, layers=2),
    "ssm": lambda: _ssm(),
    "drnn": lambda: _drnn(),
    "drnn all": lambda: _drnn(**ALL),
    "drnn none": lambda: _drnn(**NONE),
}


def _normal(*shape, seed=0):
    return tf.random.stateless_normal(shape, [seed, 0])


def _inputs():
    embed, action = _normal(B, T, E), _normal(B, T, A, seed=1)
    return embed, action, (_normal(B, T, S, seed=2), _normal(B, T, S, seed=3))


def _assert_close(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
def test_step_by_step(make):
    """Whatever is computed outside the loop over time must not shift by one.

    The agent filters one step at a time, and the prior of each step is the
    prediction from the posterior before it.
    """
    model = make()
    embed, action, (eps_prior, eps_post) = _inputs()
    priors, posts = model.observe(embed, action, (eps_prior, eps_post))
    assert model.features(posts).shape == (B, T, model.feature_size)
    state = model.initial(B)
    for t in range(T):
        now = slice(t, t + 1)
        predicted = model.imagine(action[:, now], eps_prior[:, now], state)
        _, post = model.observe(
            embed[:, now], action[:, now], (None, eps_post[:, now]), state
        )
        state = tf.nest.map_structure(lambda x: x[:, 0], post)
        _assert_close([x[:, 0] for x in predicted], [x[:, t] for x in priors])
        _assert_close(state, [x[:, t] for x in posts])


@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
def test_long_predictions_equal_short(make):
    """Up to a planner's horizon steps are unrolled; a loop gives the same."""
    model, length = make(), cell.UNROLL + 1
    action, noise = _normal(B, length, A), _normal(B, length, S, seed=1)
    start = model.initial(B)
    loop = model.imagine(action, noise, start)
    unrolled = model.imagine(action[:, :-1], noise[:, :-1], start)
    _assert_close([x[:, :-1] for x in loop], unrolled)


@pytest.mark.parametrize("length", [3, cell.UNROLL + 1])
@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
def test_candidates_share_a_state(make, length):
    """As if each had a copy of the state that it starts from."""
    model, N = make(), 5
    action, noise = _normal(N, length, B, A), _normal(N, length, B, S, seed=1)
    embed, past, (_, eps) = _inputs()
    _, post = model.observe(embed, past, (None, eps))
    start = tf.nest.map_structure(lambda x: x[:, -1], post)
    shared = tf.nest.map_structure(lambda x: x[None], start)
    states = model.imagine(action, noise, shared)
    for n in range(N):
        rows = [tf.transpose(x[n], [1, 0, 2]) for x in (action, noise)]
        alone = model.imagine(*rows, start)
        _assert_close([tf.transpose(x[n], [1, 0, 2]) for x in states], alone)


@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
def test_every_weight_learns(make):
    """A part that is not wired in, or cut off by the loop, gets no gradient."""
    model = make()
    embed, action, noise = _inputs()
    with tf.GradientTape() as tape:
        prior, post = model.observe(embed, action, noise)
        loss = tf.reduce_mean(cell.kl_divergence(post, prior))
        loss += tf.reduce_mean(model.features(post) ** 2)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.any(tf.convert_to_tensor(gradient) != 0), variable.path


@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
def test_means_need_no_noise(make):
    """Without noise the sample is the mean, also where it feeds back."""
    embed, action, _ = _inputs()
    model = make()
    prior, post = model.observe(embed, action, (None, None))
    start = tf.nest.map_structure(lambda x: x[:, -1], post)
    for state in (prior, post, model.imagine(action, None, start)):
        np.testing.assert_array_equal(state.stoch, state.mean)


def _layer(layer, *inputs, act=tf.nn.relu):
    x = tf.concat(inputs, -1)
    return act(tf.matmul(x, layer.kernel) + layer.bias)


def _gaussian(gaussian, *inputs, act=tf.nn.relu):
    y = tf.concat(inputs, -1)
    for layer in gaussian.hidden:
        y = _layer(layer, y, act=act)
    return gaussian.mean(y), tf.nn.softplus(gaussian.std(y)) + 0.1


def test_rssm_equations():
    """Two layers, ELU and the past prior, which the golden arrays lack."""
    model = _rssm(layers=2, activation="elu", future_rnn=False)
    embed, action, (eps_prior, eps_post) = _inputs()
    priors, posts = model.observe(embed, action, (eps_prior, eps_post))
    _, _, stoch, deter = model.initial(B)
    act = tf.nn.elu
    for t in range(T):
        x = _layer(model.inputs[0], stoch, action[:, t], act=act)
        x = _layer(model.inputs[1], x, act=act)
        deter = model.gru(x, deter)
        mean, std = _gaussian(model.prior, x, act=act)
        prior = mean, std, mean + std * eps_prior[:, t], deter
        mean, std = _gaussian(model.post, deter, embed[:, t], act=act)
        stoch = mean + std * eps_post[:, t]
        _assert_close([x[:, t] for x in priors], prior)
        _assert_close([x[:, t] for x in posts], (mean, std, stoch, deter))


@pytest.mark.parametrize(
    "wired", [{name: True} for name in FLAGS] + [ALL, NONE], ids=str
)
def test_drnn_wiring(wired):
    """Each flag adds its own input, in the original's order."""
    flags = NONE | wired
    model = _drnn(**flags)
    embed, action, noise = _inputs()
    priors, posts = model.observe(embed, action, noise)
    start = model.initial(B)

    def step(embed, action, previous, eps):
        _, _, stoch, encoder, decoder = previous

        def pick(*inputs):
            return tf.concat(
                [x for name, x in inputs if flags.get(name, True)], -1
            )

        x = pick(
            ("embed", embed),
            ("action", action),
            ("sample_to_encoder", stoch),
            ("decoder_to_encoder", decoder),
        )
        new_encoder = model.encoder(x, encoder)
        x = pick(
            ("encoder", new_encoder),
            ("sample_to_sample", stoch),
            ("decoder_to_sample", decoder),
        )
        mean, std = _gaussian(model.gaussian, x)
        stoch = mean + std * eps
        x = pick(
            ("sample", stoch),
            ("encoder_to_decoder", encoder),
            ("action_to_decoder", action),
        )
        return mean, std, stoch, new_encoder, model.decoder(x, decoder)

    state = start
    for t in range(T):
        zeros = tf.zeros([B, E])
        prior = step(zeros, action[:, t], state, noise[0][:, t])
        state = step(embed[:, t], action[:, t], state, noise[1][:, t])
        _assert_close([x[:, t] for x in priors], prior)
        _assert_close([x[:, t] for x in posts], state)


def test_paper_sizes():
    """Parameter totals of the original at six actions."""

    def count(model):
        return sum(v.shape.num_elements() for v in model.trainable_variables)

    cells = [kind(6, 1024) for kind in (RSSM, SSM, DRNN)]
    assert [count(x) for x in cells] == [557_320, 248_520, 993_460]
    assert [x.feature_size for x in cells] == [230, 30, 200]


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_gru_is_its_equations():
    """Gate order, reset before the product, and the biases of one."""
    gru, rng = cell.GRU(3, 4), np.random.default_rng(0)
    np.testing.assert_array_equal(gru.b_ru, np.ones(8))
    np.testing.assert_array_equal(gru.b_c, np.zeros(4))
    for variable in gru.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    x, h = rng.normal(size=[2, 3]), rng.normal(size=[2, 4])
    both = np.concatenate([x, h], 1) @ gru.w_ru.numpy() + gru.b_ru.numpy()
    reset, update = _sigmoid(both[:, :4]), _sigmoid(both[:, 4:])
    both = np.concatenate([x, reset * h], 1) @ gru.w_c.numpy()
    candidate = np.tanh(both + gru.b_c.numpy())
    expected = update * h + (1 - update) * candidate
    found = gru(tf.constant(x, tf.float32), tf.constant(h, tf.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_kl_is_its_formula():
    """KL(post || prior), not the other way round, summed over dimensions."""
    rng = np.random.default_rng(0)
    m1, m2 = rng.normal(size=[2, 5, 3])
    s1, s2 = rng.uniform(0.2, 2, size=[2, 5, 3])
    expected = np.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5

    def state(mean, std):
        mean = tf.constant(mean, tf.float32)
        std = tf.constant(std, tf.float32)
        return rssm.State(mean, std, mean, mean)

    found = cell.kl_divergence(state(m1, s1), state(m2, s2))
    np.testing.assert_allclose(found, expected.sum(-1), rtol=1e-4)

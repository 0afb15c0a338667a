"""The kernel's traps: names, sharing, shapes, methods, `at`, errors, `still`, state, and networks as trees."""

import os
import traceback

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sonde import nn
from sonde._errors import ArgumentError, LayerError, MemberError, PathError, ShapeError
from sonde._types import Number, Part
from sonde.nn.scope import Frame, nowhere

X = jnp.ones((4, 3))


def rows(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def shapes(network):
    return {path: value.shape for path, value in network.params.items()}


def formatted(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


class Chain(nn.Layer):
    """Calls children as told: (name, layer) pairs, one after the other."""

    calls: Part = ()

    def __call__(self, scope, x):
        for name, layer in zip(self.calls[::2], self.calls[1::2], strict=True):
            x = scope(name, layer, x)
        return x


class Pair(nn.Layer):
    """Two dense layers whose names and sizes a test chooses."""

    first: str
    second: str
    units: int = 3
    others: int = 3

    def __call__(self, scope, x):
        return scope(self.second, nn.Dense(self.others), scope(self.first, nn.Dense(self.units), x))


class Coder(nn.Layer):
    """Several methods, one with several inputs, one that draws."""

    code: int = 2

    def encode(self, scope, x):
        return scope("encoder", nn.Dense(self.code, nn.tanh), x)

    def decode(self, scope, z, width):
        return scope("decoder", nn.Dense(width), z)

    def sample(self, scope, count):
        return jax.random.normal(scope.key("sample"), (count, self.code))

    def compare(self, scope, a, b):
        return ((self.encode(scope, a) - self.encode(scope, b)) ** 2).sum(-1)

    def __call__(self, scope, x):
        return self.decode(scope, self.encode(scope, x), x.shape[-1])


class Counter(nn.Layer):
    """Counts its calls in its state."""

    def __call__(self, scope, x):
        n = scope.get("n", lambda: jnp.zeros(()))
        scope.set("n", n + 1)
        return x + n


class Bomb(nn.Layer):
    """Must never be traced."""

    def __call__(self, scope, x):
        raise AssertionError("traced")


class Faulty(nn.Layer):
    """A user's layer that fails in a way of one's choice."""

    how: str

    def __call__(self, scope, x):
        if self.how == "own":
            raise ZeroDivisionError("my own trouble")  # the user's line
        if self.how == "jax":
            return x @ jnp.ones((x.shape[-1] + 1, 2))  # the user's line
        raise ShapeError("mine to say")  # the user's line


# ---------------------------------------------------------------------- names are addresses


def test_two_different_layers_under_one_name_are_refused_and_both_are_named():
    with pytest.raises(ArgumentError) as caught:
        nn.build(Pair("twin", "twin", 3, 4), X)
    message = str(caught.value)
    assert "'twin'" in message
    assert "Dense(units=3)" in message and "Dense(units=4)" in message
    assert "give one of them another name" in message


def test_two_kinds_of_layer_under_one_name_are_refused():
    class Mixed(nn.Layer):
        def __call__(self, scope, x):
            return scope("a", nn.BatchNorm(), scope("a", nn.Dense(3), x))

    with pytest.raises(ArgumentError, match="two different layers are called 'a'"):
        nn.build(Mixed(), X)


def test_layers_that_differ_in_a_number_only_are_refused_under_one_name():
    class Twice(nn.Layer):
        def __call__(self, scope, x):
            return scope("a", nn.Scale(2.0), scope("a", nn.Scale(3.0), x))

    with pytest.raises(ArgumentError, match="two different layers are called 'a'.*factor=3.*factor=2"):
        nn.build(Twice(), X)


def test_the_same_layer_twice_under_one_name_shares_its_parameters(rng):
    shared, apart = nn.build(Pair("a", "a"), X), nn.build(Pair("a", "b"), X)
    assert len(jax.tree.leaves(shared.params)) == 2
    assert len(jax.tree.leaves(apart.params)) == 4
    x, kernel = rows(rng, 4, 3), shared.params["a/kernel"]
    np.testing.assert_allclose(shared(x), x @ kernel @ kernel, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["", "a/b", "a*", "@"])
def test_a_name_that_could_not_be_part_of_a_path_is_refused(name):
    with pytest.raises(ArgumentError, match="a name is part of a path"):
        nn.build(Pair(name, "ok"), X)


def test_default_names_count_each_kind_and_are_told_from_given_ones():
    spec = nn.Sequential(
        nn.Dense(3),
        nn.relu,
        nn.Dense(4),
        body=nn.Sequential(nn.Dense(5), last=nn.Dense(5)),
        head=nn.Dense(2),
    )
    assert list(nn.default_names(spec)) == ["dense_1", "relu_1", "dense_2", "body/dense_1"]
    assert [path for path in nn.build(spec, X).params if path.endswith("kernel")] == [
        "body/dense_1/kernel",
        "body/last/kernel",
        "dense_1/kernel",
        "dense_2/kernel",
        "head/kernel",
    ]
    assert list(nn.default_names(nn.Sequential(a=nn.Dense(3), b=nn.relu))) == []


def test_a_given_name_that_is_already_a_default_one_is_refused():
    with pytest.raises(ArgumentError, match="'dense_1' is already the default name of another layer"):
        nn.Sequential(nn.Dense(3), dense_1=nn.Dense(3))


# ---------------------------------------------------------------------- initial weights


def test_initial_weights_do_not_depend_on_what_else_is_in_the_network(seed):
    head, deep = nn.Dense(5), nn.Dense(3)
    small = nn.build(nn.Sequential(body=deep, head=head), X, seed=seed)
    large = nn.build(
        nn.Sequential(nn.Dense(3), nn.Dropout(0.5), extra=nn.BatchNorm(), body=deep, more=nn.Dense(3), head=head),
        X,
        seed=seed,
    )
    for path in ("body/kernel", "head/kernel"):
        np.testing.assert_array_equal(small.params[path], large.params[path])


def test_initial_weights_depend_on_the_seed_and_on_the_path(seed):
    spec = nn.Sequential(a=nn.Dense(3), b=nn.Dense(3))
    one, again, other = (nn.build(spec, X, seed=s) for s in (seed, seed, seed + 1))
    assert one == again
    for path in ("a/kernel", "b/kernel"):
        assert (one.params[path] != other.params[path]).all()
    assert (one.params["a/kernel"] != one.params["b/kernel"]).all()
    from_key = nn.build(spec, X, seed=jax.random.key(seed, impl="threefry2x32"))
    assert from_key == one


def test_sizes_are_read_from_the_inputs():
    spec = nn.Sequential(nn.Flatten(), hidden=nn.Dense(7), head=nn.Dense(2))
    for shape in ((1, 4), (1, 2, 3), (9, 2, 2, 2)):
        kernel = shapes(nn.build(spec, jnp.ones(shape)))["hidden/kernel"]
        assert kernel == (np.prod(shape[1:]), 7)


def test_building_needs_no_more_than_a_shape_and_a_type():
    like = jax.ShapeDtypeStruct((1, 3), jnp.float32)
    assert nn.build(nn.Dense(2), like) == nn.build(nn.Dense(2), np.zeros((8, 3), np.float32))


def test_building_takes_a_layer_and_nothing_else():
    for given in (nn.Dense, nn.relu, 3):
        with pytest.raises(ArgumentError, match="a network is built from a layer"):
            nn.build(given, X)


# ---------------------------------------------------------------------- methods and inputs


def test_a_spec_may_have_several_methods_with_several_inputs(rng):
    net = nn.build(Coder(), X)
    a, b = rows(rng, 5, 3), rows(rng, 5, 3)
    code = np.tanh(np.asarray(a @ net.params["encoder/kernel"]))
    np.testing.assert_allclose(net.encode(a), code, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.decode(code, 3), net(a), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.compare(a, b), ((net.encode(a) - net.encode(b)) ** 2).sum(-1), rtol=1e-4, atol=1e-6)
    bound = net.bind()
    np.testing.assert_allclose(bound.compare(a, b), net.compare(a, b), rtol=1e-4, atol=1e-6)


def test_a_method_that_is_not_there_is_an_error_with_the_nearest():
    net = nn.build(Coder(), X)
    for holder in (net, net.bind()):
        with pytest.raises(MemberError, match="Coder has no method 'encod'; did you mean 'encode'"):
            _ = holder.encod
        for never in ("replaced", "check", "code"):
            assert not hasattr(holder, never)


def test_a_method_that_draws_needs_a_key(key):
    net = nn.build(Coder(), X)
    with pytest.raises(ArgumentError, match=r"asks for randomness at 'sample': pass key=jax\.random\.key"):
        net.sample(3)
    with pytest.raises(ArgumentError, match="asks for randomness at 'drop/dropout': pass key="):
        nn.build(nn.Sequential(drop=nn.Dropout(0.5)), X).bind(train=True)(X)
    first = net.sample(3, key=key)
    assert first.shape == (3, 2)
    np.testing.assert_array_equal(first, net.sample(3, key=key))
    assert (first != net.sample(3, key=jax.random.fold_in(key, 1))).all()


def test_every_draw_has_a_key_of_its_own(key):
    net = nn.build(Coder(), X).bind(key)
    first, second = net.sample(2), net.sample(2)
    assert (first != second).all()
    again = nn.build(Coder(), X).bind(key)
    np.testing.assert_array_equal(again.sample(2), first)
    assert (jax.random.normal(again.key("sample"), (2, 2)) != first).all()


def test_a_network_built_without_a_method_says_so_and_how_to_build_it(rng):
    encoder_only = nn.build(Coder(), X, method="encode")
    assert set(encoder_only.params) == {"encoder/kernel", "encoder/bias"}
    for call in (encoder_only, encoder_only.bind(), encoder_only.outputs):
        with pytest.raises(PathError, match=r"no variable 'decoder/kernel'.*nn\.build\(spec.*reuse=network"):
            call(X)


def test_building_again_with_reuse_takes_over_what_is_there(rng, seed):
    half = nn.build(Coder(), X, method="encode", seed=seed)
    half = half.replace(params={path: value + 1 for path, value in half.params.items()})
    both = nn.build(Coder(), jnp.ones((1, 2)), 3, method="decode", reuse=half, seed=seed)
    assert set(both.params) == {"encoder/kernel", "encoder/bias", "decoder/kernel", "decoder/bias"}
    for path, value in half.params.items():
        np.testing.assert_array_equal(both.params[path], value)
    np.testing.assert_array_equal(
        both.params["decoder/kernel"], nn.build(Coder(), X, seed=seed).params["decoder/kernel"]
    )


# ---------------------------------------------------------------------- looking inside


def test_at_gives_a_layer_and_what_reaches_it(rng):
    spec = nn.Sequential(body=nn.Sequential(a=nn.Dense(5, nn.tanh), b=nn.Dense(4)), head=nn.Dense(2))
    net, x = nn.build(spec, X), rows(rng, 6, 3)
    for holder in (net, net.bind()):
        layer, reaching = holder.at("body/b", x)
        np.testing.assert_allclose(reaching, net.outputs(x)["body/a"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layer(reaching), net.outputs(x)["body/b"], rtol=1e-5, atol=1e-6)
        inner, reaching = holder.at("body", x)
        np.testing.assert_array_equal(reaching, x)
        np.testing.assert_allclose(inner(reaching), net.outputs(x)["body"], rtol=1e-5, atol=1e-6)


def test_what_lies_behind_the_layer_is_never_traced():
    spec = nn.Sequential(a=nn.Dense(5), b=nn.Dense(4), bomb=Bomb())
    net = nn.build(nn.Sequential(a=nn.Dense(5), b=nn.Dense(4)), X).replace(spec=spec)
    with pytest.raises(AssertionError, match="traced"):
        net(X)
    for holder in (net, net.bind()):
        layer, reaching = holder.at("b", X)
        assert layer(reaching).shape == (4, 4)
        assert holder.at("bomb", X)[1].shape == (4, 4)


def test_at_works_inside_a_program_and_has_gradients(rng):
    spec = nn.Sequential(a=nn.Dense(5), b=nn.Dense(4), bomb=Bomb())
    net = nn.build(nn.Sequential(a=nn.Dense(5), b=nn.Dense(4)), X).replace(spec=spec)

    @jax.jit
    @jax.grad
    def slope(params, x):
        layer, reaching = net.replace(params=params).at("b", x)
        return layer(reaching).sum()

    g = slope(net.params, rows(rng, 6, 3))
    np.testing.assert_allclose(g["b/bias"], 6 * np.ones(4), rtol=1e-6)


def test_a_layer_given_by_at_has_its_methods_and_its_weights():
    net = nn.build(nn.Sequential(coder=Coder(), out=nn.Dense(1)), X)
    coder, x = net.at("coder", X)
    np.testing.assert_allclose(coder.encode(x), jnp.tanh(X @ net.params["coder/encoder/kernel"]), rtol=1e-6)
    assert set(coder.weights("coder/encoder/*")) == {"coder/encoder/kernel", "coder/encoder/bias"}


def test_at_a_path_that_is_not_there_names_the_nearest():
    net = nn.build(nn.Sequential(hidden=nn.Dense(5), head=nn.Dense(2)), X)
    for holder in (net, net.bind()):
        with pytest.raises(PathError, match="no layer is called at 'hiden'; did you mean 'hidden'"):
            holder.at("hiden", X)


def test_outputs_are_those_of_every_layer_by_path(rng):
    net, x = nn.build(nn.Sequential(body=nn.Sequential(a=nn.Dense(5), b=nn.relu), head=nn.Dense(2)), X), rows(rng, 4, 3)
    seen = net.outputs(x)
    assert set(seen) == {"body", "body/a", "body/b", "head"}
    np.testing.assert_allclose(seen["head"], net(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(seen["body/b"], jnp.maximum(seen["body/a"], 0))
    np.testing.assert_array_equal(seen["body"], seen["body/b"])
    assert set(net.outputs(x, pattern="body/*")) == {"body/a", "body/b"}


def test_taps_show_a_quantity_inside_a_layer():
    class Tapped(nn.Layer):
        def __call__(self, scope, x):
            scope.tap("square", x**2)
            return x

    net = nn.build(nn.Sequential(layer=Tapped()), X)
    np.testing.assert_array_equal(net.outputs(3 * X)["layer/square"], 9 * X)
    np.testing.assert_array_equal(net(3 * X), 3 * X)


def test_weights_are_selected_by_pattern():
    net = nn.build(nn.Sequential(a=nn.Dense(5), norm=nn.BatchNorm(), b=nn.Dense(2)), X)
    assert set(net.weights("**kernel")) == set(net.bind().weights()) == {"a/kernel", "b/kernel"}
    assert set(net.weights(("a/*", "norm/scale"))) == {"a/kernel", "a/bias", "norm/scale"}
    for holder in (net, net.bind()):
        with pytest.raises(PathError, match="'c/kernel' meets nothing; did you mean 'b/kernel'"):
            holder.weights("c/kernel")


def test_the_summary_is_a_table():
    spec = nn.Sequential(
        nn.Flatten(),
        body=nn.Sequential(hidden=nn.Dense(30, nn.relu), norm=nn.BatchNorm()),
        drop=nn.Dropout(0.5),
        head=nn.Dense(10),
    )
    net = nn.build(spec, jnp.ones((1, 8, 8)))
    assert net.summary(jnp.ones((4, 8, 8))) == (
        "layer        kind        gives           parameters\n"
        "---------------------------------------------------\n"
        "flatten_1    Flatten     float32[4, 64]\n"
        "body         Sequential  float32[4, 30]\n"
        "body/hidden  Dense       float32[4, 30]       1,950\n"
        "body/norm    BatchNorm   float32[4, 30]          60\n"
        "drop         Dropout     float32[4, 30]\n"
        "head         Dense       float32[4, 10]         310\n"
        "---------------------------------------------------\n"
        "total                                         2,320"
    )
    assert net.summary() == (
        "layer        kind        parameters\n"
        "-----------------------------------\n"
        "flatten_1    Flatten\n"
        "body         Sequential\n"
        "body/hidden  Dense            1,950\n"
        "body/norm    BatchNorm           60\n"
        "drop         Dropout\n"
        "head         Dense              310\n"
        "-----------------------------------\n"
        "total                         2,320"
    )
    assert sum(v.size for v in net.params.values()) == 2320


# ---------------------------------------------------------------------- errors


def of_jax(error: BaseException) -> list[str]:
    """The frames of JAX in an error as it is printed, and its note on them."""
    inside = f'File "{os.path.dirname(jax.__file__)}{os.sep}'
    return [line for line in formatted(error).splitlines() if inside in line or "JAX has removed" in line]


@pytest.mark.parametrize("how", ["call", "method", "bound", "at", "outputs", "summary", "build"])
def test_a_wrong_shape_names_the_path_both_shapes_and_a_remedy_and_shows_nothing_of_jax(how):
    net = nn.build(nn.Sequential(body=nn.Sequential(hidden=nn.Dense(5)), head=nn.Dense(2)), X)
    wrong = jnp.ones((4, 7))
    call = {
        "call": net,
        "method": lambda x: net._run("__call__", x),
        "bound": net.bind(),
        "at": lambda x: net.at("head", x),
        "outputs": net.outputs,
        "summary": net.summary,
        "build": lambda x: nn.build(net.spec, x, reuse=net),
    }[how]
    with pytest.raises(ShapeError) as caught:
        call(wrong)
    first, *notes = formatted(caught.value).split("sonde._errors.ShapeError: ")[-1].splitlines()
    assert first.startswith("body/hidden was built with a kernel of shape (3, 5), but this input needs (7, 5)")
    assert "Give it the kind of input that it was built with, or build it anew" in first
    assert notes[0] == "  in body/hidden: Dense(units=5) on float32[4, 7]"
    assert not of_jax(caught.value)
    if how in ("call", "method", "summary", "build"):  # nothing of ours either, but where it was called
        assert os.path.join("nn", "scope.py") not in formatted(caught.value)


def test_dense_says_what_to_do_with_images_of_whole_numbers_and_with_a_single_row():
    net = nn.build(nn.Sequential(hidden=nn.Dense(5)), X)
    for x, remedy in (
        (jnp.ones((4, 3), jnp.uint8), r"got uint8\[4, 3\]; put nn\.Scale"),
        (X[0], r"one row is x\[None\]"),
    ):
        with pytest.raises(ShapeError, match=remedy) as caught:
            net(x)
        assert "in hidden: Dense(units=5)" in formatted(caught.value)


@pytest.mark.parametrize("how", ["call", "bound", "build"])
def test_an_error_in_a_users_layer_keeps_its_type_and_the_users_line(how):
    spec = nn.Sequential(scale=nn.Scale(1.0), mine=Faulty("own"))
    call = {"call": nn.Network(spec), "bound": nn.Network(spec).bind(), "build": lambda x: nn.build(spec, x)}[how]
    with pytest.raises(ZeroDivisionError, match="^my own trouble") as caught:
        call(X)
    text = formatted(caught.value)
    assert 'raise ZeroDivisionError("my own trouble")  # the user\'s line' in text
    assert "in mine: Faulty(how='own') on float32[4, 3]" in text


@pytest.mark.parametrize("how", ["call", "bound", "build"])
@pytest.mark.parametrize(("fault", "kind"), [("jax", LayerError), ("sonde", ShapeError)])
def test_an_error_of_ours_or_of_jax_in_a_users_layer_names_its_path_and_the_users_line_alone(how, fault, kind):
    spec = nn.Sequential(scale=nn.Scale(1.0), mine=Faulty(fault))
    call = {"call": nn.Network(spec), "bound": nn.Network(spec).bind(), "build": lambda x: nn.build(spec, x)}[how]
    with pytest.raises(kind) as caught:
        call(X)
    text = formatted(caught.value)
    assert "# the user's line" in text
    assert f"in mine: Faulty(how='{fault}') on float32[4, 3]" in text
    assert not of_jax(caught.value)
    assert how == "bound" or os.path.join("nn", "scope.py") not in text
    if fault == "jax":
        assert "mine: dot_general requires contracting dimensions" in text
        assert "Check the shape and type of what reaches this layer" in text


def test_the_innermost_layer_is_named_first_and_those_around_it_after():
    spec = nn.Sequential(outer=nn.Sequential(inner=Faulty("own")))
    with pytest.raises(ZeroDivisionError) as caught:
        nn.Network(spec)(X)
    where = [note for note in caught.value.__notes__ if note.startswith("  in ")]
    assert [note.split(":")[0] for note in where] == ["  in outer/inner", "  in outer"]


# ---------------------------------------------------------------------- transformations inside an objective

TRANSFORMED = {
    "grad": lambda f, x: jax.grad(lambda x: f(x).sum())(x),
    "jvp": lambda f, x: jax.jvp(f, (x,), (x,))[1],
    "jacrev": lambda f, x: jax.jacrev(f)(x),
    "vmap": lambda f, x: jax.vmap(lambda row: f(row[None])[0])(x),
    "scan": lambda f, x: jax.lax.scan(lambda c, _: (c + f(c).sum(), None), x, None, length=2)[0],
}


@pytest.fixture(scope="module")
def normed():
    return nn.build(nn.Sequential(a=nn.Dense(3, nn.tanh), norm=nn.BatchNorm(), b=nn.Dense(2)), X)


@pytest.mark.parametrize("how", TRANSFORMED)
def test_the_plain_form_raises_inside_a_transformation_and_names_still(normed, how, rng):
    x = rows(rng, 4, 3)
    objective = lambda network: TRANSFORMED[how](network.bind(train=True), x)
    for run in (objective, jax.jit(objective)):
        with pytest.raises(LayerError, match=r"norm/mean, norm/var.*call net\.still"):
            run(normed)


@pytest.mark.parametrize("how", TRANSFORMED)
def test_still_is_the_same_function_under_every_transformation(normed, how, rng):
    x = rows(rng, 4, 3)

    @jax.jit
    def objective(network, x):
        net = network.bind(train=how != "vmap")
        before = dict(net._frame.state)
        got = TRANSFORMED[how](net.still, x)
        assert net._frame.state == before and not net._frame.outputs  # at trace time: nothing was written
        return got

    def plain(x):  # the mathematics, written out
        p, s = normed.params, normed.state
        h = jnp.tanh(x @ p["a/kernel"])
        mean, var = (s["norm/mean"], s["norm/var"]) if how == "vmap" else (h.mean(0), h.var(0))
        spread = lambda v: jnp.broadcast_to(v, h.shape)
        return ((h - spread(mean)) / spread(jnp.sqrt(var + 1e-5))) @ p["b/kernel"]

    np.testing.assert_allclose(objective(normed, x), TRANSFORMED[how](plain, x), rtol=2e-3, atol=2e-4)


def test_state_updates_thread_from_call_to_call():
    net = nn.build(nn.Sequential(count=Counter()), X)
    bound = net.bind(train=True)
    assert [float(bound(jnp.zeros((1, 1)))[0, 0]) for _ in range(3)] == [0, 1, 2]
    assert float(bound.still(jnp.zeros((1, 1)))[0, 0]) == 3
    assert float(bound(jnp.zeros((1, 1)))[0, 0]) == 3
    assert float(bound._frame.state["count/n"]) == 4
    assert float(net.state["count/n"]) == 0


def test_state_is_still_at_inference():
    net = nn.build(nn.Sequential(count=Counter()), X).bind()
    assert [float(net(jnp.zeros((1, 1)))[0, 0]) for _ in range(2)] == [0, 0]


def test_state_keeps_its_shape_and_type():
    class Growing(nn.Layer):
        def __call__(self, scope, x):
            scope.set("seen", jnp.concatenate([scope.get("seen", lambda: jnp.zeros(1)), jnp.zeros(1)]))
            return x

    net = nn.build(nn.Sequential(g=Growing()), X)
    with pytest.raises(ShapeError, match=r"state g/seen is float32\[1\] and cannot become float32\[2\]"):
        net.bind(train=True)(X)


class Recurrent(nn.Layer):
    """h <- tanh((x_t, h) W + b) in a scan; a careless one makes its parameters there."""

    careful: bool = True
    norm: bool = False

    def __call__(self, scope, x):
        cell = nn.Dense(2, nn.tanh)

        def step(h, x_t):
            if self.norm:
                h = scope("norm", nn.BatchNorm(), h)
            return scope("cell", cell, jnp.concatenate([x_t, h], 1)), None

        h = jnp.zeros((x.shape[0], 2))
        if self.careful:
            step(h, x[:, 0])
        return jax.lax.scan(step, h, x.swapaxes(0, 1))[0]


def test_a_layer_that_makes_parameters_inside_a_scan_is_told_to_make_them_outside():
    with pytest.raises(
        LayerError, match="cell/kernel would be made inside a transformation .*outside it first"
    ) as caught:
        nn.build(nn.Sequential(r=Recurrent(careful=False)), jnp.ones((4, 5, 3)))
    assert "in r/cell: Dense" in formatted(caught.value)


def test_a_layer_that_calls_children_inside_a_scan_leaks_none_of_its_steps(rng):
    net, x = nn.build(nn.Sequential(r=Recurrent(), head=nn.Dense(1)), jnp.ones((4, 5, 3))), rows(rng, 4, 5, 3)
    h = np.zeros((4, 2), np.float32)
    for t in range(5):
        h = np.tanh(np.concatenate([x[:, t], h], 1) @ net.params["r/cell/kernel"])
    np.testing.assert_allclose(net.outputs(x)["r"], h, rtol=1e-4, atol=1e-5)

    @jax.jit
    def objective(network):  # what the engine does: outputs and state leave the differentiated function
        def loss(params):
            bound = network.replace(params=params).bind(train=True)
            return bound(x).sum(), (bound.outputs(), bound._frame.state)

        return jax.grad(loss, has_aux=True)(network.params)

    _, (outputs, _) = objective(net)
    np.testing.assert_allclose(outputs["r"], h, rtol=1e-4, atol=1e-5)


def test_a_layer_that_writes_state_inside_a_scan_is_told_so():
    net = nn.build(Recurrent(norm=True), jnp.ones((4, 5, 3)))
    assert net(jnp.ones((4, 5, 3))).shape == (4, 2)
    with pytest.raises(LayerError, match="norm/mean would be written inside a transformation"):
        net.bind(train=True)(jnp.ones((4, 5, 3)))


# ---------------------------------------------------------------------- variables of an objective's own


def test_an_objective_may_own_variables():
    class Objective:
        def __call__(self, net):
            level = net.get("level", lambda: jnp.zeros(3))
            net.set("level", level + 1)
            return net.get("level", lambda: jnp.zeros(3))

    frame = Frame({}, {}, key=jax.random.key(0), live=lambda path: True, building=True)
    np.testing.assert_array_equal(Objective()(nn.Bound(nn.Flatten(), frame)), np.zeros(3))  # building writes nothing
    assert set(frame.state) == {"@/level"}
    trained = nn.Network(nn.Flatten(), {}, frame.state).bind(train=True)
    np.testing.assert_array_equal(Objective()(trained), np.ones(3))
    np.testing.assert_array_equal(Objective()(trained), np.full(3, 2))
    judged = nn.Network(nn.Flatten(), {}, frame.state).bind()
    np.testing.assert_array_equal(Objective()(judged), np.zeros(3))


def test_an_objective_cannot_write_its_variables_where_they_would_be_lost():
    net = nn.Network(nn.Flatten(), {}, {"@/level": jnp.zeros(())}).bind(train=True)

    def inner(x):
        net.set("level", x.sum())
        return x.sum()

    with pytest.raises(LayerError, match="@/level would be written inside a transformation"):
        jax.grad(inner)(jnp.ones(3))


# ---------------------------------------------------------------------- a network is a tree and a function


def test_a_network_is_a_tree_under_jit_grad_and_vmap(rng, key):
    spec, x = nn.Sequential(a=nn.Dense(4, nn.tanh), norm=nn.BatchNorm(), b=nn.Dense(1)), rows(rng, 6, 3)
    net = nn.build(spec, X)
    loss = lambda network: (network(x) ** 2).mean()
    slope = jax.jit(jax.grad(loss))(net)
    assert isinstance(slope, nn.Network) and set(slope.params) == set(net.params)
    np.testing.assert_allclose(slope.params["b/bias"], 2 * net(x).mean(0), rtol=1e-4, atol=1e-5)

    keys = jax.random.split(key, 3)
    many = jax.vmap(lambda k: nn.build(spec, X, seed=k))(keys)
    assert many.params["a/kernel"].shape == (3, 3, 4)
    outputs = jax.vmap(lambda network: network(x))(many)
    for i in range(3):
        np.testing.assert_allclose(outputs[i], nn.build(spec, X, seed=keys[i])(x), rtol=1e-4, atol=1e-5)


def test_compiling_a_network_compiles_that_network_and_no_other(rng):
    x = rows(rng, 4, 3)
    one = nn.build(nn.Dense(2, bias_init=None), X)
    other = one.replace(params={path: value + 1 for path, value in one.params.items()})
    for network in (one, other):
        np.testing.assert_allclose(jax.jit(network)(x), x @ network.params["kernel"], rtol=1e-5, atol=1e-6)


def test_calls_are_compiled_once_for_a_shape_whatever_the_weights():
    from sonde.nn.network import _applied

    spec = nn.Sequential(only_here=nn.Dense(3), drop=nn.Dropout(0.5))
    network = nn.build(spec, X)
    network(X)
    before = _applied._cache_size()
    for rate in (0.1, 0.2):
        changed = network.replace(spec=nn.Sequential(only_here=nn.Dense(3), drop=nn.Dropout(rate)))
        changed.replace(params={path: value * rate for path, value in network.params.items()})(X)
    assert _applied._cache_size() == before
    network(X[:2])
    assert _applied._cache_size() == before + 1


def test_networks_are_equal_by_value(seed):
    spec = nn.Sequential(a=nn.Dense(3), norm=nn.BatchNorm())
    one, same = nn.build(spec, X, seed=seed), nn.build(spec, X, seed=seed)
    assert one == same and hash(one) == hash(same)
    assert one != nn.build(spec, X, seed=seed + 1)
    assert one != one.replace(state={path: value + 1 for path, value in one.state.items()})
    assert one != nn.Network(spec, {path: v for path, v in one.params.items() if "bias" not in path}, one.state)
    assert one != one.replace(spec=nn.Sequential(a=nn.Dense(3), norm=nn.BatchNorm(momentum=0.5)))
    assert one != spec


def test_parameters_are_replaced_all_at_once_and_by_their_paths():
    net = nn.build(nn.Sequential(hidden=nn.Dense(5), head=nn.Dense(2)), X)
    kernel = jnp.ones_like(net.params["hidden/kernel"])
    assert float(net.replace(params={**net.params, "hidden/kernel": kernel}).params["hidden/kernel"].min()) == 1
    with pytest.raises(PathError, match="'hidden/bias' are not among them: give {..net.params, 'hidden/kernel': ...}"):
        net.replace(params={"hidden/kernel": kernel})
    with pytest.raises(PathError, match="no parameter 'hidden/kernle'; did you mean 'hidden/kernel'"):
        net.replace(params={**net.params, "hidden/kernle": kernel})
    with pytest.raises(ShapeError, match=r"hidden/kernel is float32\[.*, 5\]; got float32\[5, .*\]"):
        net.replace(params={**net.params, "hidden/kernel": kernel.T})
    with pytest.raises(ArgumentError, match="a spec, params and a state; got 'parameters'"):
        net.replace(parameters={})


def test_a_network_that_is_not_a_number_somewhere_equals_itself():
    net = nn.Network(nn.Dense(1), {"kernel": jnp.array([[jnp.nan]]), "bias": jnp.zeros(1)})
    assert net == net.replace(params={path: value.copy() for path, value in net.params.items()})


def test_rows_in_batches_give_what_all_rows_at_once_give(rng):
    net, x = nn.build(Coder(), X), rows(rng, 11, 3)
    np.testing.assert_allclose(net.in_batches(x, size=4), net(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.in_batches(x, "encode", size=4), net.encode(x), rtol=1e-5, atol=1e-6)


def test_a_layer_that_rests_is_told_so_and_its_neighbours_are_not(key):
    net = nn.build(nn.Sequential(a=Counter(), b=Counter()), X)
    frame = Frame(net.params, net.state, live=lambda path: path == "b", writes=lambda path: path == "b")
    bound = nn.Bound(net.spec, frame)
    assert [float(bound(jnp.zeros((1, 1)))[0, 0]) for _ in range(3)] == [0, 1, 2]
    assert (float(frame.state["a/n"]), float(frame.state["b/n"])) == (0, 3)
    assert not nowhere("b")


class Boxed(nn.Layer):
    """A layer that is a field of another."""

    inner: nn.Layer
    by: Number = 1.0

    def __call__(self, scope, x):
        return self.by * scope("inner", self.inner, x)


def test_a_layer_may_be_a_field_of_another(rng):
    x = rows(rng, 4, 3)
    net = nn.build(Boxed(nn.Sequential(d=nn.Dense(2)), 3.0), x)
    assert set(net.params) == {"inner/d/kernel", "inner/d/bias"}
    np.testing.assert_allclose(net(x), 3 * (x @ net.params["inner/d/kernel"]), rtol=1e-5, atol=1e-6)
    assert list(nn.default_names(Boxed(nn.Sequential(nn.Dense(2))))) == ["inner/dense_1"]

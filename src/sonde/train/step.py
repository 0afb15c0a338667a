"""What a phase means: one step, one round, and "onward to step n", as pure functions for the compiler.

`Engine` closes over a spec, a phase and data; every method is pure. The programs at the end are the only
compiled functions: their arguments are trees whose leaves are data, keys and the plan's numbers, so another
seed, rate or number of epochs runs the same program.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from sonde._batch import Batch, Mean, loss_of, scored
from sonde._errors import PathError, nearest
from sonde._random import derive, root
from sonde._tree import Patterns, many, match, parent, pick, split
from sonde._types import Array, Clock, Variables
from sonde.nn.bound import Bound
from sonde.nn.network import Network, grow
from sonde.nn.scope import Frame, Missing, nowhere
from sonde.train.control import Outcome, Report
from sonde.train.layout import after, in_products, is_elementwise, turned, turned_back
from sonde.train.parallel import loops, operations, replicated, sharded
from sonde.train.plan import Phase, Plan
from sonde.train.probe import Probed

Columns = dict[str, Any]
Data = dict[str, Columns]
"""Columns by split: "train", and "valid" if there is one."""

ENDLESS = 2**30
"""A step that is never reached."""


class Vars(NamedTuple):
    """The variables of a network."""

    params: Variables
    state: Variables


class State(NamedTuple):
    """What a step carries: the variables, an optimizer state a turn, the step, the scale of all rates, averages."""

    vars: Vars
    opt: dict[str, Any]
    step: Array
    scale: Array
    average: Any = ()


class Progress(NamedTuple):
    """Where a phase stands: all that is needed to go on, at any step.

    Attributes:
        state: what a step carries.
        kept: the network that would be handed on now.
        sums: losses and metrics of the round so far.
        memory: what each controller remembers.
        key: the phase's key.
        round: rounds closed.
        outcome: how the phase ended, or RUNNING.
        bad: the first step whose loss was not finite, or -1.
        history: reports of the rounds since the host last read them, [capacity] each.
        filled: how many.
    """

    state: State
    kept: Vars
    sums: dict
    memory: tuple
    key: Array
    round: Array
    outcome: Array
    bad: Array
    history: dict[str, Array]
    filled: Array


def at_work(patterns: Patterns, *trees: Mapping[str, Any]) -> Callable[[str], bool]:
    """Which layers patterns wake.

    A layer with variables wakes if a pattern meets any of them; one without (dropout) if a pattern could
    meet something below it.
    """
    own: dict[str, bool] = {}
    for tree in trees:
        for path in tree:
            own[parent(path)] = own.get(parent(path), False) or match(patterns, path)
    heads = [p.split("*")[0] for p in many(patterns)]

    def awake(path: str) -> bool:
        below = path + "/"
        return own.get(path, any(below.startswith(h) or h.startswith(below) for h in heads))

    return awake


class Engine:
    """A phase, for a spec and data."""

    def __init__(self, spec: Any, phase: Phase, data: Data, variables: Vars, mesh: Mesh | None = None) -> None:
        self.spec, self.phase, self.mesh = spec, phase, mesh
        self.turns: tuple[Any, ...] = phase.turns
        self.probes: tuple[Any, ...] = phase.probes
        self.average: Any = phase.average
        train, valid = data["train"], data.get("valid")
        self.draw = phase.batch.over(train)
        if valid is not None:
            judging = phase.batch.judging()
            self.draw_valid, self.valid_batches = judging.over(valid), judging.per_epoch(valid)
            self.valid_most = judging.per_epoch(dict(valid))  # with rows that only fill up: a number known beforehand
        else:
            self.draw_valid, self.valid_batches, self.valid_most = phase.batch.held_out(train), 1, 1
        self.repeats = max(t.repeats for t in self.turns)
        self.per_epoch = -(-phase.batch.per_epoch(train) // self.repeats)  # a traced number where columns are filled up
        # In training mode is what any turn of the phase trains, throughout; a turn writes what it trains itself.
        self.live = at_work(tuple(p for t in self.turns for p in many(t.trains)), *variables)
        self.writes = [_or_own(at_work(t.trains, *variables)) for t in self.turns]
        self.turned: frozenset[str] = frozenset()
        self.operations, self.rows, self.loops = 0.0, 0, False
        self.trains = [self._trained(i, variables) for i in range(len(self.turns))]
        self.trained = frozenset().union(*self.trains)

    @property
    def total(self) -> Array:
        """Steps at most."""
        steps, epochs = jnp.asarray(self.phase.steps, jnp.int32), jnp.asarray(self.phase.epochs, jnp.int32)
        return jnp.where(steps > 0, steps, epochs * self.per_epoch)

    @property
    def every(self) -> Array:
        """Steps in a round."""
        every = jnp.asarray(self.phase.every, jnp.int32)
        return jnp.where(every > 0, every, self.per_epoch)

    def clock(self, step: Array) -> Clock:
        """Where a step stands."""
        return Clock(step, self.per_epoch, self.total)

    # ------------------------------------------------------------------ one step

    def _net(self, i: int, variables: Vars, batch: Batch, key: Array | None, train: bool = True) -> tuple[Bound, Batch]:
        """What the objective of turn i is given: the network bound, and the batch without looked-up columns."""
        live, writes = (_or_own(self.live), self.writes[i]) if train else (nowhere, nowhere)
        products = jnp.dtype(self.phase.precision) if train and self.phase.precision != "float32" else None
        known, columns = split(batch.columns, lambda name: name.startswith("@"))
        frame = Frame(
            *variables, key=key, live=live, writes=writes, weight=batch.weight, known=known, turn=i, products=products
        )
        return Bound(self.spec, frame), Batch(columns, batch.weight)

    def _trained(self, i: int, variables: Vars) -> frozenset[str]:
        """What a turn's patterns meet and its objective uses: nothing else has a gradient, moments or decay."""
        turn = self.turns[i]
        used: set[str] = set()

        def trace(variables: Vars, key: Array, batch: Batch) -> None:
            net, batch = self._net(i, variables, batch, key)
            self.rows = len(batch)
            scored(turn.objective(net, batch))
            used.update(net._frame.used)

        key = jax.random.key(0)
        given = variables, key, jax.eval_shape(self.draw, key, jnp.int32(0))
        program = jax.make_jaxpr(trace)(*given).jaxpr
        self.operations += turn.repeats * operations(program)
        self.loops |= turn.repeats > 1 or loops(program)
        label = f"turn {turn.name!r}" if turn.name else "the turn"
        for pattern in many(turn.trains):
            if not any(match(pattern, path) for path in used):
                raise PathError(
                    f"{label} trains {pattern!r}, but its objective uses no such thing{nearest(pattern, used)}"
                )
        trained = frozenset(path for path in used if match(turn.trains, path))
        if self._may_turn():
            inputs = jax.tree.unflatten(jax.tree.structure(given), program.invars)[0].params
            self.turned = in_products(program, {path: inputs[path] for path in trained})
        return trained

    def _may_turn(self) -> bool:
        """Whether nothing in a step minds how matrices lie in memory (see `layout`)."""
        alone = len(self.turns) == 1 and self.average is None
        return alone and is_elementwise(self.turns[0].optimizer) and jax.local_devices()[0].platform == "cpu"

    def _turn(self, state: State) -> State:
        """The state as it is in the loop over steps, and back."""
        params, opt = turned(state.vars.params, self.turned), turned(state.opt, self.turned)
        return state._replace(vars=state.vars._replace(params=params), opt=opt)

    def _loss(self, i: int, variables: Vars, batch: Batch, key: Array) -> Callable:
        """What turn i minimizes on one minibatch: moving parameters -> loss, (means, new state, outputs)."""
        _, rests = split(variables.params, self.trains[i].__contains__)  # what rests has no backward pass

        def loss(moves: Variables) -> tuple:
            net, rows = self._net(i, Vars({**moves, **rests}, variables.state), batch, key)
            means = scored(self.turns[i].objective(net, rows))
            counted = {part: Mean(m.total, jnp.where(m.count == 0, 1, m.count)) for part, m in means[0].items()}
            return loss_of(counted), (means, net._frame.state, net.outputs())  # a part of no rows is 0, not 0 / 0

        return loss

    def _rate(self, turn: Any, state: State) -> Any:
        rate: Any = turn.optimizer.rate
        now: Any = rate(self.clock(state.step)) if callable(rate) else rate
        return state.scale * now

    def _minibatch(self, key: Array, step: Array, r: Any) -> Batch:
        return self._shared(self.draw(key, step * self.repeats + r))

    def _shared(self, batch: Batch) -> Batch:
        """A batch whose columns lie on all devices. Each draws it whole: a loop that draws must not wait for others.

        XLA starts a sum over devices before a loop that it does not depend on has ended, and if that holds such sums,
        too, two devices may wait for each other in different ones, for ever.
        """
        batch = replicated(batch, self.mesh)
        return Batch(sharded(batch.columns, self.mesh), batch.weight)

    def _noise(self, key: Array, step: Array, i: int, r: Any) -> Array:
        """The key of what is random in a turn's repeat; minibatches are drawn with the phase's own key."""
        return derive(key, step, i * self.repeats + r)

    def _update(self, i: int, state: State, key: Array, r: Any) -> tuple[State, tuple, Any]:
        """One repeat of one turn; the state is that of the loop over steps."""
        turn = self.turns[i]
        batch = self._minibatch(key, state.step, r)
        loss_of_moves = self._loss(i, state.vars, batch, self._noise(key, state.step, i, r))
        function = lambda moves: loss_of_moves(turned_back(moves, self.turned))
        moves, rests = split(state.vars.params, self.trains[i].__contains__)
        (loss, (means, model, _)), gradient = jax.value_and_grad(function, has_aux=True)(moves)
        rate = after((loss, gradient), self._rate(turn, state), never=state.step < 0)
        moves, memory = turn.optimizer.update(
            moves, gradient, state.opt[turn.name], rate, lambda moves: function(moves)[0]
        )
        model = pick(batch.weight.sum() > 0, model, state.vars.state)  # of no rows there are no statistics
        state = state._replace(vars=Vars({**moves, **rests}, model), opt={**state.opt, turn.name: memory})
        return state, means, loss

    def step(self, state: State, key: Array) -> tuple[State, dict, Array]:
        """Every turn once, in order, of the state in the loop over steps.

        Returns:
            The new state, the means of each turn, and whether all losses are finite.
        """
        info, finite = {}, jnp.bool_(True)
        for i, turn in enumerate(self.turns):
            if turn.repeats == 1:
                state, info[turn.name], loss = self._update(i, state, key, 0)
            else:

                def once(state: State, r: Array, i: int = i) -> tuple:
                    state, means, loss = self._update(i, state, key, r)
                    return state, (means, loss)

                state, (means, loss) = lax.scan(once, state, jnp.arange(turn.repeats))
                info[turn.name] = jax.tree.map(lambda a: a.sum(0), means)
            finite &= jnp.isfinite(loss).all()
        state = state._replace(step=state.step + 1)
        if self.average is not None:
            state = state._replace(average=self.average.observe(state.average, state.vars, self.clock(state.step)))
        return state, info, finite

    def shown(self, state: State) -> Vars:
        """The network that is judged, kept and handed on: the averaged one where weights are averaged."""
        return state.vars if self.average is None else self.average.view(state.average, state.vars)

    # ------------------------------------------------------------------ one round

    def evaluate(self, variables: Vars, key: Array) -> dict:
        """Every turn's means on the validation split; the same draws every round, so differences are the network's."""
        if self.draw_valid is None:
            return {}

        def one(u: Array) -> dict:
            out = {}
            for i, turn in enumerate(self.turns):
                drawn = self._shared(self.draw_valid(key, u))
                net, batch = self._net(i, variables, drawn, derive(key, u), train=False)
                out[turn.name] = scored(turn.objective(net, batch))
            return out

        if self.valid_most == 1:
            return one(jnp.int32(0))
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(one, jnp.int32(0)))
        return lax.fori_loop(0, self.valid_batches, lambda u, sums: jax.tree.map(jnp.add, sums, one(u)), zeros)

    def report(self, train: dict, valid: dict) -> Report:
        """Means as numbers by name: "train/loss", "valid/error", "train/critic/penalty", ..."""
        report = {}
        for side, info in (("train", train), ("valid", valid)):
            for turn, (parts, metrics) in info.items():
                values = {k: m.value for k, m in {**parts, **metrics}.items()} | {"loss": loss_of(parts)}
                report |= {"/".join(filter(None, (side, turn, k))): v for k, v in values.items()}
        return report

    def probe(self, state: State, key: Array) -> Report:
        """What the probes say of each turn."""
        found: Report = {}
        if not self.probes:
            return found
        for i, turn in enumerate(self.turns):
            batch = replicated(self.draw(key, state.step * self.repeats), self.mesh)  # no sums beside `evaluate`'s
            function = self._loss(i, state.vars, batch, self._noise(key, state.step, i, 0))
            moves = {p: state.vars.params[p] for p in self.trains[i]}
            loss = lambda moves, f=function: f(moves)[0]
            (_, (_, _, outputs)), gradient = jax.value_and_grad(function, has_aux=True)(moves)
            moved, _ = turn.optimizer.update(moves, gradient, state.opt[turn.name], self._rate(turn, state), loss)
            update = jax.tree.map(operator.sub, moves, moved)
            for probe in self.probes:
                numbers = probe(Probed(moves, gradient, update, outputs, loss))
                found |= {"/".join(filter(None, ("probe", turn.name, k))): v for k, v in numbers.items()}
        return found

    def _summary(self, state: State, sums: dict, key: Array) -> Report:
        valid = self.evaluate(self.shown(state), derive(key, 2**31))
        rates = {"/".join(filter(None, ("rate", t.name))): self._rate(t, state) for t in self.turns}
        report = self.report(sums, valid) | rates | self.probe(state, key)
        return {k: jnp.asarray(v, jnp.float32) for k, v in report.items()} | {"step": state.step}

    def close(self, p: Progress) -> Progress:
        """End a round: evaluate, let the controllers judge, keep the network or not, write the report down."""
        state = p.state
        report = self._summary(state, p.sums, p.key)
        memory, signals = [], []
        for controller, remembered in zip(self.phase.control, p.memory, strict=True):
            after, signal = controller.observe(remembered, report, self.clock(state.step))
            memory.append(after)
            signals.append(signal)
        finite = [jnp.isfinite(v).all() for path, v in state.vars.params.items() if path in self.trained]
        for path, v in state.vars.state.items():  # what was finite stays so; a running minimum may begin as infinite
            if jnp.issubdtype(v.dtype, jnp.inexact):
                finite.append((jnp.isfinite(v) | ~jnp.isfinite(p.kept.state[path])).all())
        good = functools.reduce(jnp.logical_and, finite, p.bad < 0)
        keep = functools.reduce(jnp.logical_and, [jnp.asarray(s.keep, bool) for s in signals], good)
        bad = jnp.where(good | (p.bad >= 0), p.bad, state.step - 1)
        ends = [
            jnp.where(good, Outcome.RUNNING, Outcome.DIVERGED),
            *(jnp.asarray(s.outcome, jnp.int32) for s in signals),
            jnp.where(state.step >= self.total, Outcome.FINISHED, Outcome.RUNNING),
        ]
        ends = jnp.stack([jnp.asarray(e, jnp.int32) for e in ends])
        scale = math.prod([jnp.asarray(s.scale, jnp.float32) for s in signals], start=jnp.float32(1))
        report |= {"kept": keep}
        return p._replace(
            state=state._replace(scale=scale),
            kept=pick(keep, self.shown(state), p.kept),
            sums=jax.tree.map(jnp.zeros_like, p.sums),
            memory=tuple(memory),
            round=p.round + 1,
            outcome=ends[(ends != 0).argmax()],
            bad=bad,
            history={k: h.at[p.filled].set(jnp.asarray(report[k], h.dtype)) for k, h in p.history.items()},
            filled=p.filled + 1,
        )

    def round(self, p: Progress, until: Array) -> Progress:
        """Steps up to the round's end, ``until``, or the first loss that is not finite; then close it if it is over."""
        end = jnp.minimum((p.round + 1) * self.every, self.total)

        def more(p: tuple) -> Array:
            state, _, bad = p
            return (state.step < jnp.minimum(end, until)) & (bad < 0)

        def one(p: tuple) -> tuple:
            state, sums, _ = p
            after, info, finite = self.step(state, key)
            return after, jax.tree.map(jnp.add, sums, info), jnp.where(finite, -1, state.step)

        key = p.key
        state, sums, bad = lax.while_loop(more, one, (self._turn(p.state), p.sums, p.bad))
        state = self._turn(state)
        p = p._replace(state=state, sums=sums, bad=bad)
        return lax.cond((state.step >= end) | (bad >= 0), self.close, lambda p: p, p)

    def advance(self, p: Progress, until: Array) -> Progress:
        """Onward to step ``until``, the end, or a full history: a step, a slice and a whole run alike."""
        capacity = p.history["step"].shape[0]
        going = lambda p: (p.outcome == Outcome.RUNNING) & (p.state.step < until) & (p.filled < capacity)
        return lax.while_loop(going, lambda p: self.round(p, until), p)

    def start(self, variables: Vars, key: Array, capacity: int) -> Progress:
        """The beginning of a phase: fresh optimizer state, nothing seen."""
        params = variables.params
        opt = {
            t.name: t.optimizer.init({p: params[p] for p in paths})
            for t, paths in zip(self.turns, self.trains, strict=True)
        }
        average = () if self.average is None else self.average.init(variables)
        state = State(variables, opt, jnp.int32(0), jnp.float32(1), average)
        info = jax.eval_shape(lambda s: self.step(self._turn(s), key)[1], state)
        sums = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), info)
        report = jax.eval_shape(lambda s: self._summary(s, sums, key), state)
        for controller in self.phase.control:  # names that are not there are an error before anything runs
            jax.eval_shape(lambda r, c=controller: c.observe(c.init(), r, self.clock(jnp.int32(0))), report)
        history = {k: jnp.zeros((capacity, *v.shape), v.dtype) for k, v in report.items()}
        history["kept"] = jnp.zeros(capacity, bool)
        memory = tuple(c.init() for c in self.phase.control)
        zero = jnp.int32(0)
        return Progress(state, variables, sums, memory, key, zero, zero, jnp.int32(-1), history, zero)

    def blame(self, state: State, key: Array) -> str:
        """Where the first number that is not finite appears in the step that begins here, in words."""
        finite = lambda v: all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(v))
        for path in sorted(self.trained):  # a gradient may be infinite where its loss was not
            if not finite(state.vars.params[path]):
                return f"first in the update of {path}, a step before"
        for i, turn in enumerate(self.turns):
            for r in range(turn.repeats):
                noise = self._noise(key, state.step, i, r)
                net, batch = self._net(i, state.vars, self._minibatch(key, state.step, r), noise)
                parts, _ = scored(turn.objective(net, batch))
                for path, y in net.outputs().items():
                    if not finite(y):
                        return f"first in the output of {path}"
                for part, mean in parts.items():
                    if not finite(mean.value):
                        return f"first in the loss {part!r}"
                state = self._turn(self._update(i, self._turn(state), key, r)[0])
                for path in sorted(self.trains[i]):
                    if not finite(state.vars.params[path]):
                        return f"first in the update of {path}"
        inexact = {p: v for p, v in state.vars.state.items() if jnp.issubdtype(v.dtype, jnp.inexact)}
        return next((f"first in the state {path}" for path in sorted(inexact) if not finite(inexact[path])), "")

    # ------------------------------------------------------------------ what rests

    def known(self, variables: Vars, columns: Columns) -> Columns:
        """What the part at rest makes of each row, as columns named by turn, call and path.

        Found by running each objective with the resting variables alone until it asks for one that trains,
        or for randomness; the last output before that is what can be looked up instead of computed. Where
        nothing with parameters rests there is nothing worth it (scaled images would fill the memory).
        """
        drawn = jax.eval_shape(self.draw, jax.random.key(0), jnp.int32(0)).columns
        if getattr(self.phase.batch, "alters", False) or set(drawn) != set(columns):
            return {}  # rows are changed or recombined: there is nothing to look up
        resting = Vars(
            split(variables.params, lambda path: path not in self.trained)[0],
            split(variables.state, lambda path: not _or_own(self.live)(parent(path)))[0],
        )
        found: Columns = {}
        rows = jax.tree.leaves(columns)[0].shape[0]
        for i, turn in enumerate(self.turns):
            batch = Batch.of(dict(columns), jnp.ones(rows, bool))
            net, batch = self._net(i, resting, batch, None)
            net._frame.products = None  # what is computed once may be exact
            try:
                turn.objective(net, batch)
            except (Missing, PathError):
                if not any(path in resting.params for path in net._frame.used):
                    continue
                last = [*net._frame.outputs.items()][-1:]
                found |= {c: y for c, y in last if isinstance(y, jax.Array) and y.shape[:1] == (rows,)}
        return found


def _or_own(paths: Callable[[str], bool]) -> Callable[[str], bool]:
    """Those layers, and the variables that objectives own."""
    return lambda path: path == "@" or paths(path)


class AllObjectives:
    """Every objective of a plan, run once: what a network must have variables for. A tree of JAX."""

    def __init__(self, plan: Plan, train: Columns, key: Array) -> None:
        self.plan, self.train, self.key = plan, train, key

    def __call__(self, net: Bound) -> None:
        """Run them."""
        for phase in self.plan.phases:
            batch = phase.batch.over(self.train)(self.key, jnp.int32(0))
            for turn in phase.turns:
                view = Bound(net._spec, net._frame.view(weight=batch.weight))
                scored(turn.objective(view, batch))


jax.tree_util.register_pytree_node(
    AllObjectives, lambda a: ((a.plan, a.train, a.key), None), lambda _, leaves: AllObjectives(*leaves)
)


# ---------------------------------------------------------------------- the programs


def grown(network: Network, plan: Plan, data: Data, seed: int | Array) -> Network:
    """The network with every variable that the plan's objectives ask for."""
    key = root(seed) if isinstance(seed, int) else seed
    return grow(network.spec, AllObjectives(plan, data["train"], key), key, network)


@functools.partial(jax.jit, static_argnames="capacity")
def start(spec: Any, phase: Phase, data: Data, variables: Vars, key: Array, capacity: int) -> Progress:
    """The beginning of a phase."""
    return Engine(spec, phase, data, variables).start(variables, key, capacity)


@functools.partial(jax.jit, static_argnames="mesh")
def advance(
    spec: Any, phase: Phase, data: Data, progress: Progress, until: Array, mesh: Mesh | None = None
) -> Progress:
    """Onward to step ``until``; over a mesh, with what it is given on every device."""
    return replicated(Engine(spec, phase, data, progress.state.vars, mesh).advance(progress, until), mesh)


@jax.jit
def known(spec: Any, phase: Phase, data: Data, variables: Vars, columns: Columns) -> Columns:
    """What the part at rest makes of some rows."""
    return Engine(spec, phase, data, variables).known(variables, columns)


def whole(network: Network, plan: Plan, data: Data, key: Array, capacities: tuple[int, ...]) -> tuple:
    """All phases as one pure function: what vmap and lax.map are given.

    Returns:
        The network handed on, and the `Progress` at the end of each phase.
    """
    variables, ends, over = Vars(network.params, network.state), [], jnp.bool_(False)
    for i, (phase, capacity) in enumerate(zip(plan.phases, capacities, strict=True)):
        engine = Engine(network.spec, phase, data, variables)
        p = engine.start(variables, derive(key, i), capacity)
        p = p._replace(outcome=jnp.where(over, Outcome.DIVERGED, p.outcome))  # a diverged phase ends the plan
        ends.append(engine.advance(p, jnp.int32(ENDLESS)))
        variables, over = ends[-1].kept, ends[-1].outcome == Outcome.DIVERGED
    return Network(network.spec, variables.params, variables.state), tuple(ends)

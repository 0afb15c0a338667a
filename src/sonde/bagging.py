"""`bag`: several networks, each of its own resampled rows, that predict together."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde._errors import ArgumentError, is_whole
from sonde._random import checked_seed
from sonde._types import Variables
from sonde.artifact import Artifact
from sonde.data import Augmented, Bootstrap, Dataset, Sampler
from sonde.data.sampling import as_sampler
from sonde.data.stream import placed
from sonde.fitting import as_dataset
from sonde.nn import Layer, Network, ensemble
from sonde.nn.ensemble import WAYS, combined
from sonde.nn.mistakes import tidy
from sonde.nn.network import as_network
from sonde.objectives import cross_entropy
from sonde.objectives.metrics import Score
from sonde.run import Run, count, predictor
from sonde.train import KeepBest, Outcome, Phase, Plan, Record, TimeBudget, Turn, as_controllers, execute_many
from sonde.train.execute import lengths
from sonde.train.lanes import chosen, cores
from sonde.train.step import Engine, Progress, Vars


def bag(
    network: Layer | Network,
    data: Dataset | tuple,
    objective: Any = None,
    optimizer: Any = None,
    *,
    plan: Plan | None = None,
    members: int = 10,
    epochs: int = 0,
    steps: int = 0,
    batch: Any = 32,
    augment: Any = (),
    every: int = 0,
    control: Any = None,
    average: Any = None,
    combine: str = "",
    seed: int = 0,
    how: str = "auto",
) -> Bag:
    """Train several networks on rows drawn anew for each, and let them predict together.

    Member i is what ``fit(network, data, objective, optimizer, batch=Bootstrap(batch, i), seed=seed + i, ...)`` gives,
    to the bit where members are mapped. It has n of the n training rows drawn with replacement, so it never sees about
    a third of them. All members are one program.

    Args:
        network: a spec, or a network that every member goes on from.
        data: a `Dataset`, or ``(x, y)``, which is split.
        objective: what to minimize.
        optimizer: how.
        plan: instead of an objective and an optimizer, phases of them, with samplers as ``batch`` takes them:
            ``Phase(turn, data.Bootstrap(32), epochs=20)`` draws rows anew for each member.
        members: how many.
        epochs: how long at most, in epochs; or
        steps: in steps.
        batch: rows in a minibatch, resampled for each member. A `data.Bootstrap` counts its ``member`` up; another
            sampler is that of all members, so that ``data.Shuffled(32)`` averages runs that differ in their seed only;
            a tuple has one for each, such as the ``data.Folds`` of a cross-validation.
        augment: what changes training rows each time they are drawn, such as ``data.Shift(2)``; or a tuple of such.
        every: steps in a round (0: an epoch).
        control: controllers, which judge each member by itself, such as ``Patience(5)``. Without one the best network
            by validation is kept if there is a validation split, else the last one.
        average: averaged weights of each member, such as ``EMA(0.999)``.
        combine: how predictions become one, see `nn.Ensemble`; "": ``"probabilities"`` for classes by cross-entropy,
            else ``"mean"``.
        seed: that of the first member.
        how: ``"map"``, one member after the other on every core; or ``"vmap"``, all at once, which is equal to rounding
            and faster on a GPU. ``"auto"`` is map on a CPU and vmap elsewhere; the decisions of a run say which it was.

    Returns:
        A `Bag`.

    Raises:
        ArgumentError: the plan has a time budget, which cannot be kept inside one program; a plan is given beside
            what it says itself.

    Source: L. Breiman, "Bagging predictors" (1996). Differs from scikit-learn's `BaggingClassifier` in that neural
    networks of one bag also begin with different weights.

    Example:
        >>> import sonde as sd
        >>> from sonde import nn
        >>> data = sd.data.load("iris")
        >>> net = nn.Sequential(hidden=nn.Dense(8, nn.tanh), head=nn.Dense(3))
        >>> bag = sd.bag(net, data, sd.Classify(), sd.Adam(0.03), members=5, epochs=40, batch=16)
        >>> bag.network.spec.layers == (net,) * 5, bool(bag.evaluate("test")["accuracy"].value > 0.8)
        (True, True)
    """
    data, net, seed = as_dataset(data), as_network(network), checked_seed(seed)
    if plan is None:
        if objective is None or optimizer is None:
            raise ArgumentError("bag needs an objective and an optimizer, such as Classify() and Adam(1e-3), or a plan")
        if control is None:
            control = KeepBest() if data.valid is not None else ()
        control, turn = as_controllers(control), Turn(objective, optimizer)
        samplers = [Augmented(s, augment) if augment != () else s for s in _samplers(batch, members)]
        plans = [Plan(Phase(turn, s, epochs, steps, every, control, average=average)) for s in samplers]
    elif objective is not None or optimizer is not None:
        raise ArgumentError("bag takes a plan, or an objective and an optimizer; got both")
    elif augment != ():
        raise ArgumentError("a plan says itself what is augmented: Phase(turn, data.Augmented(Bootstrap(32), ...))")
    else:
        drawn = [_samplers(phase.batch, members) for phase in plan.phases]
        phases = [zip(plan.phases, own, strict=True) for own in zip(*drawn, strict=True)]
        plans = [Plan(tuple(phase.replace(batch=sampler) for phase, sampler in own)) for own in phases]
    if any(isinstance(c, TimeBudget) for phase in plans[0].phases for c in phase.control):
        raise ArgumentError("members are one program, inside which no clock is read: leave the TimeBudget out")
    method = getattr(predictor(plans[0]), "method", "__call__")
    if method != "__call__":
        raise ArgumentError(f"members of a bag predict by being called; the objective predicts by {method!r}")
    if combine not in ("", *WAYS):
        raise ArgumentError(f"combine must be one of {', '.join(WAYS)}; got {combine!r}")
    began, seeds = time.perf_counter(), [checked_seed(seed + i) for i in range(len(plans))]
    prepared = [plan.prepare(dict(data.train)) for plan in plans]
    on_device: Any = placed(data, [phase.batch for plan in prepared for phase in plan.phases])
    how = chosen(how)
    networks, progress = execute_many(net, prepared, on_device, seeds, how)
    jax.block_until_ready(networks)
    each = (time.perf_counter() - began) / len(plans)
    likes = []
    for phase in prepared[0].phases:
        trained = tidy(Engine, net.spec, phase, on_device, Vars(*_lane((networks.params, networks.state), 0))).trained
        like = Record(trained=tuple(sorted(trained)), train_seconds=each / len(progress))
        like.per_epoch, like.total = lengths(phase, on_device)
        likes.append(like)
    busy = min(cores(), len(plans))
    together = "at once with the others (vmap)" if how == "vmap" else f"with the others on {count(busy, 'core')} (map)"
    runs = []
    for i, plan in enumerate(plans):
        params, state = _lane((networks.params, networks.state), i)
        said = [f"member {i + 1} of {len(plans)}, trained {together}; its seconds are an equal share of theirs"]
        seconds = {"compile": 0.0, "train": each, "total": each}
        records = [_record(like, went, i) for like, went in zip(likes, progress, strict=True)]
        runs.append(Run(Network(net.spec, params, state), records, plan, seeds[i], data, said, seconds))
    return Bag(tuple(runs), combine)


@dataclasses.dataclass(eq=False)
class Bag:
    """Runs whose networks predict together. ``print(bag)`` tells how well, and how well each does by itself.

    What `bag` gives; or made by hand of runs on the same data, whatever their networks.

    Attributes:
        members: a `Run` each.
        combine: how their predictions become one, see `nn.Ensemble`.

    Example:
        >>> import sonde as sd
        >>> from sonde import nn
        >>> data = sd.data.load("linear")
        >>> runs = [sd.fit(nn.Dense(1), data, sd.Regress(), sd.SGD(0.1), epochs=2, seed=seed) for seed in range(3)]
        >>> sd.Bag(runs).combine, list(sd.Bag(runs).network.params)
        ('mean', ['0/bias', '0/kernel', '1/bias', '1/kernel', '2/bias', '2/kernel'])
    """

    members: Sequence[Run]
    combine: str = ""

    def __post_init__(self) -> None:
        self.members = tuple(self.members)
        if not self.members or not all(isinstance(member, Run) for member in self.members):
            raise ArgumentError(f"a bag is made of runs, at least one; got {self.members!r}")
        if len({member.data.fingerprint for member in self.members}) > 1:
            raise ArgumentError("the runs of a bag need the same data: what tests one may have trained another")
        if not self.combine:
            loss = getattr(predictor(self.members[0].plan), "loss", None)
            self.combine = "probabilities" if loss is cross_entropy else "mean"

    @functools.cached_property
    def network(self) -> Network:
        """All members as one network: an `nn.Ensemble`."""
        return ensemble(*self.members, combine=self.combine)

    @functools.cached_property
    def _together(self) -> Run:
        """The first run with the network of all, which evaluates and is written as one."""
        return dataclasses.replace(self.members[0], network=self.network)

    @property
    def data(self) -> Dataset:
        """What the members were trained on."""
        return self.members[0].data

    @property
    def artifact(self) -> Artifact:
        """The network of all with what is needed to use it on raw rows: ``bag.artifact.save(path)``."""
        return self._together.artifact

    def evaluate(self, split: Any = "test") -> dict[str, Score]:
        """Metrics of all together, as `Run.evaluate`; ``bag.members[0].evaluate(split)`` are those of one."""
        return self._together.evaluate(split)

    def out_of_bag(self) -> dict[str, Score]:
        """Metrics on training rows, each predicted by those members only that never drew it.

        An estimate for rows that nobody has seen which costs no rows: by about a third of the members. A row that
        every member drew is left out.

        Raises:
            ArgumentError: a member did not draw its rows by `data.Bootstrap`.
        """
        samplers: list[list[Any]] = [[_plain(phase.batch) for phase in member.plan.phases] for member in self.members]
        if not all(isinstance(sampler, Bootstrap) for own in samplers for sampler in own):
            raise ArgumentError("rows are out of the bag only of members that drew theirs by data.Bootstrap")
        train = self.data.train
        unseen = np.stack([np.all([np.asarray(s.left_out(train)) for s in own], axis=0) for own in samplers])
        rows = unseen.any(0)
        if not rows.any():
            raise ArgumentError("every row was drawn by every member; give the bag more members")
        outputs = np.stack([member.artifact.outputs(train.x) for member in self.members])[:, rows]
        weight = None if train.get("weight") is None else np.asarray(train["weight"])[rows]
        said = np.asarray(combined(self.combine, jnp.asarray(outputs), jnp.asarray(unseen[:, rows])))
        return self.artifact.metrics(said, np.asarray(train.y)[rows], weight)

    def __str__(self) -> str:
        lines = [f"{len(self.members)} members, predictions combined by {self.combine}"]
        for split, name in (("valid", "validation"), ("test", "test")):
            metrics, alone = self.evaluate(split), [member.evaluate(split) for member in self.members]
            for metric, score in list(metrics.items())[: 3 if "r2" in metrics else 2]:
                each = [one[metric].value for one in alone]
                mean, least, most = (score._replace(value=float(f(each)), error=None) for f in (np.mean, min, max))
                lines.append(f"  {name} {metric.replace('_', ' ')}: {score} (members: {least} to {most}, mean {mean})")
        seconds = sum(member.seconds["total"] for member in self.members)
        return "\n".join([*lines, f"  {seconds:.1f} s"])

    __repr__ = __str__


def _samplers(batch: Any, members: Any) -> list[Sampler]:
    """A sampler for each member."""
    if isinstance(batch, tuple | list):
        return [as_sampler(one) for one in batch]
    if not is_whole(members, 1):
        raise ArgumentError(f"members must be a whole number of at least 1; got {members!r}")
    sampler = batch if isinstance(batch, Sampler) else Bootstrap(as_sampler(batch).size)
    return [_counted(sampler, i) for i in range(members)]


def _counted(sampler: Sampler, i: int) -> Sampler:
    """That of member i."""
    if isinstance(sampler, Augmented):
        return sampler.replace(sampler=_counted(sampler.sampler, i))
    return sampler.replace(member=sampler.member + i) if isinstance(sampler, Bootstrap) else sampler


def _plain(sampler: Sampler) -> Sampler:
    """What draws the rows that are then augmented."""
    return _plain(sampler.sampler) if isinstance(sampler, Augmented) else sampler


def _lane(tree: Any, i: int) -> tuple[Variables, Variables]:
    return jax.tree.map(lambda leaf: leaf[i], tree)


def _record(like: Record, progress: Progress, i: int) -> Record:
    """How a member's training went."""
    outcome, filled, step = (int(v[i]) for v in (progress.outcome, progress.filled, progress.state.step))
    record = dataclasses.replace(like, outcome=Outcome(outcome), steps=step, history={})
    record.extend({name: np.asarray(h[i])[:filled] for name, h in progress.history.items()})
    return record

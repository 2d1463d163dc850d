"""A backtest as a picture: hits and money over time."""

from __future__ import annotations

import datetime as dt
import io
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from interlay.cli.options import Failed
from interlay.layers.rehearsal.backtest import Timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["svg", "png"]

# Told apart without colour too.
_DID: Final[dict[str, Any]] = {"color": "#6b7280", "linewidth": 1.6, "linestyle": "--", "markersize": 2.5}
_WOULD: Final[dict[str, Any]] = {"color": "#1d4ed8", "linewidth": 1.8, "markersize": 2.5}
_FEW: Final = 60
"""Steps that are marked one by one."""


def kind(file: str) -> Kind:
    """The format of a picture, by its name. Raises ``Failed``."""
    ending = Path(file).suffix.lower()
    if ending == ".svg":
        return "svg"
    if ending == ".png":
        return "png"
    raise Failed(f"--plot {file}: expected a name that ends in .svg or .png", help="--plot hits.svg", exit_code=2)


def check(file: str) -> None:
    """See to it that ``draw`` can do its work. Raises ``Failed``."""
    kind(file)
    _library()


def draw(timeline: Timeline, kind: Kind) -> bytes:
    """The picture: above the share of calls that a cache answered, below the money that was spent till then."""
    library = _library()
    with library.settings({"svg.hashsalt": "interlay", "svg.fonttype": "none"}):
        return _drawn(library, timeline, kind)


def _drawn(library: _Library, timeline: Timeline, kind: Kind) -> bytes:
    steps = timeline.steps()
    middles = [_moment(step.at + timeline.width / 2) for step in steps]
    ends = [_moment(step.at + timeline.width) for step in steps]
    marker = "o" if len(steps) <= _FEW else None
    figure: Figure = library.figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, title in ((above, "answered by the cache, %"), (below, "spent, $")):
        axes.set_title(title, loc="left", fontsize=10)
        axes.margins(x=0.01)
        axes.grid(visible=True, color="#e5e7eb", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    for label, style, answered, spent in (
        ("did", _DID, [step.then_answered for step in steps], [step.then_spent for step in steps]),
        ("would have", _WOULD, [step.would_answered for step in steps], [step.would_spent for step in steps]),
    ):
        shares = [100 * count / max(1, step.calls) for count, step in zip(answered, steps, strict=True)]
        above.plot(middles, shares, label=label, marker=marker, **style)
        below.plot([_moment(steps[0].at), *ends], [0.0, *map(float, accumulate(spent))], marker=marker, **style)
    above.set_ylim(-2, 102)
    below.set_ylim(bottom=0)
    ticks = library.locator(tz=_here())
    below.xaxis.set_major_locator(ticks)
    below.xaxis.set_major_formatter(library.formatter(ticks, tz=_here()))
    above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=9)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return drawn.getvalue()


def _moment(at: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(at).astimezone()


def _here() -> dt.tzinfo | None:
    return dt.datetime.now().astimezone().tzinfo


class _Library(NamedTuple):
    figure: Any
    formatter: Any
    locator: Any
    settings: Any


def _library() -> _Library:
    """What is needed of matplotlib, which is an optional extra. Raises ``Failed`` where it is not installed."""
    try:
        import matplotlib as mpl
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        help_ = "pip install 'interlay[plot]'"
        raise Failed(f"--plot needs {error.name}", help=help_, exit_code=2) from error
    return _Library(Figure, ConciseDateFormatter, AutoDateLocator, mpl.rc_context)

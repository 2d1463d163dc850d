"""Rehearsals: what a layer would have done about calls that were recorded.

A layer that can say so has a plain method ``rehearse()``, which gives a ``Rehearsal``: its decisions without its deeds.
Nothing is sent, no store is opened, and the clock is that of the records, so that the same records come to the same
end each time. ``Backtest`` leads a journal's records through the rehearsals of a chain.
"""

from interlay.layers.rehearsal.backtest import Backtest as Backtest
from interlay.layers.rehearsal.backtest import Side as Side
from interlay.layers.rehearsal.cache import CacheRehearsal as CacheRehearsal
from interlay.layers.rehearsal.cache import bound_of as bound_of
from interlay.layers.rehearsal.parts import Decision as Decision
from interlay.layers.rehearsal.parts import Rehearsal as Rehearsal
from interlay.layers.rehearsal.past import Past as Past

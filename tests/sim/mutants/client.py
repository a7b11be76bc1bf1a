"""The client's broken rules: what it sends again, where to, and what it claims in the end."""

from typing import TypeVar

from chaos.fleet_laws import FleetLaw
from chaos.judgement import Law
from chaos.schedule import Crash, Freeze, LostCalls
from client.call import Action, Call, Send, redirected
from core.errors import TwinholdError, UnavailableError
from core.machine import Output
from tests.sim.mutants import fleet
from tests.sim.mutants.mutant import Mutant, Swap

Got = TypeVar("Got")
_call_send, _call_failed = Call._send, Call._failed


def _fresh_id(self: Call[Got], now: float) -> list[Action[Got]]:
    return [
        Send(s.attempt, s.node, s.epoch, f"{s.request_id[:50]}-{s.attempt}", s.wait_s, s.streamed)
        for s in _call_send(self, now)
        if isinstance(s, Send)
    ]


def _any_redirect(self: Call[Got], error: TwinholdError, certain: bool, now: float) -> Output[Action[Got]]:
    redirect = redirected(error)
    if redirect is not None:
        self._target = redirect
    return _call_failed(self, error, certain, now)


def _last_word(self: Call[Got]) -> TwinholdError:
    return self._last or UnavailableError("nobody is known to serve this tenant")


def _abandon_and_forget(self: Call[Got]) -> list[Action[Got]]:
    doubt = self._doubt
    actions = _call_abandon(self)
    self._doubt = doubt
    return actions


_call_abandon = Call._abandon


ILL = fleet.scripted(
    "calls get lost",
    (6.0, LostCalls(0.2, 6.0)),
    (6.5, Crash("ber1-c1", 2.0)),
    trouble_s=14.0,
    setting=fleet.small(),
)

MUTANTS = (
    Mutant(
        "retry with a new request id",
        "every attempt is a request of its own",
        Law.ONCE,
        ILL,
        5,
        swaps=(Swap(Call, "_send", _fresh_id),),
    ),
    Mutant(
        "redirect to an older epoch",
        "a client goes wherever it is sent, whatever it has heard before",
        FleetLaw.ROUTE,
        fleet.CHANCE,
        20,
        swaps=(Swap(Call, "_failed", _any_redirect),),
    ),
    Mutant(
        "give-up that says failed",
        "a client that gives up tells the last error, whatever became of earlier attempts",
        Law.FAILED,
        ILL,
        5,
        swaps=(Swap(Call, "_verdict", _last_word),),
    ),
    Mutant(
        "abandoned attempt forgotten",
        "a client takes an attempt that it does not wait for any more for one that never was",
        Law.FAILED,
        fleet.scripted(
            "both copies stand still",
            (8.0, Freeze("ber1-c1", 12.0)),
            (8.0, Freeze("ams1-c1", 12.0)),
            trouble_s=22.0,
            setting=fleet.small(),
        ),
        5,
        swaps=(Swap(Call, "_abandon", _abandon_and_forget),),
    ),
)

"""A pair's broken rules: PROTOCOL.md section 8, what the tenant move needs apart."""

from chaos.fleet_laws import FleetLaw
from core import assignments
from nodes import pair, pair_change, pair_follow, pair_join
from nodes.deeds import Deeds
from nodes.desk import Desk
from nodes.frames import Welcome
from nodes.holding import Holding
from nodes.link import LinkTable
from nodes.memory_journal import MemoryJournal
from nodes.pair import Pair
from nodes.pair_events import ProposalAnswered
from nodes.pair_state import CopyState
from nodes.retries import Retries
from tests.sim import pair_store
from tests.sim.mutants import pair_broken as broken
from tests.sim.mutants.mutant import Mutant, Stage
from tests.sim.mutants.mutant import Swap as InPlace
from tests.sim.pair_script import play
from tests.sim.pair_scripts import (
    BusySwitchover,
    DamagedAlone,
    DamagedPrimary,
    DeafInJoin,
    EchoedAcks,
    EchoedAcksOfAnEpoch,
    EchoedAppends,
    EchoedLateAcks,
    EchoedWelcome,
    EvictedGrantor,
    GreedyLeader,
    HastyPromoted,
    IsolatedPrimary,
    JoinDecided,
    LateSwitchover,
    LostTail,
    RestartedAlone,
    RestartedInJoin,
    RestartedInJoinAndRead,
    RestartedStandby,
    SlowOldStandby,
    SwapDecided,
)
from tests.sim.pair_world import PairWorld


def stage(world: type[PairWorld], name: str) -> Stage:
    return Stage(name, lambda seed, rules: play(world, seed, rules))


CHANCE = stage(PairWorld, "pair world")


MUTANTS = (
    Mutant(
        "ack before CAS",
        "a primary acknowledges alone as soon as it has asked to evict its standby",
        FleetLaw.I3,
        CHANCE,
        20,
        swaps=(InPlace(CopyState, "others", broken.others_without_whom_it_evicts),),
    ),
    Mutant(
        "promote outside in_sync",
        "the store takes a promotion of a copy that is not in sync",
        FleetLaw.I2,
        stage(GreedyLeader, "script: greedy leader"),
        5,
        swaps=(InPlace(pair_store, "legal_successor", lambda *_, **__: None),),
    ),
    Mutant(
        "solo acks during ADD",
        "a primary alone does not wait for the learner that may have joined",
        FleetLaw.I4,
        CHANCE,
        20,
        rules=broken.NoLearners,
    ),
    Mutant(
        "solo reads without lease during ADD",
        "a primary alone reads without a lease of the learner that may have joined",
        FleetLaw.I6,
        stage(JoinDecided, "script: join decided"),
        5,
        rules=broken.NoLeaseOfLearners,
    ),
    Mutant(
        "no lease wait",
        "a promoted copy serves before the leases that it granted have run out",
        FleetLaw.I6,
        stage(IsolatedPrimary, "script: isolated primary"),
        5,
        rules=broken.NoLeaseWait,
    ),
    Mutant(
        "reads without lease",
        "a primary in sync reads without its standby's lease",
        FleetLaw.I6,
        stage(IsolatedPrimary, "script: isolated primary"),
        5,
        rules=broken.NoLeases,
    ),
    Mutant(
        "restart without intents (commits)",
        "a restarted primary does not wait for the learner that it had asked for",
        FleetLaw.I4,
        stage(RestartedInJoin, "script: restart in a join"),
        5,
        swaps=(InPlace(Pair, "__init__", broken.forgetting_intents(commits=True)),),
    ),
    Mutant(
        "restart without intents (leases)",
        "a restarted primary reads without the lease of the learner that it had asked for",
        FleetLaw.I6,
        stage(RestartedInJoinAndRead, "script: restart in a join, then read"),
        5,
        swaps=(InPlace(Pair, "__init__", broken.forgetting_intents(commits=False)),),
    ),
    Mutant(
        "restart without lease wait",
        "a restarted copy forgets that it granted leases",
        FleetLaw.I6,
        stage(RestartedStandby, "script: restarted standby"),
        5,
        swaps=(InPlace(Pair, "__init__", broken.no_wait_after_boot),),
    ),
    Mutant(
        "unplanned promotion keeps both in sync",
        "the lost primary stays in sync",
        FleetLaw.C5,
        CHANCE,
        20,
        swaps=(
            InPlace(assignments, "successor", broken.keeps_both),
            InPlace(pair_store, "successor", broken.keeps_both),
        ),
    ),
    Mutant(
        "switchover without drain",
        "a primary goes on admitting while it asks to change roles",
        FleetLaw.I13,
        stage(BusySwitchover, "script: busy switchover"),
        5,
        swaps=(
            InPlace(pair_change, "stop_admitting", lambda *_: None),
            InPlace(pair_change, "_ready", broken.ready_without_drain),
        ),
    ),
    Mutant(
        "switchover before the standby holds all",
        "a drained primary asks to change roles at once",
        FleetLaw.I13,
        stage(BusySwitchover, "script: busy switchover"),
        5,
        rules=broken.DrainsHalf,
    ),
    Mutant(
        "drain aborted by time-out",
        "a drained primary serves again because the store takes long",
        FleetLaw.I13,
        stage(LateSwitchover, "script: late switchover"),
        5,
        swaps=(InPlace(pair_change, "_withdraw", broken.goes_on_when_late),),
    ),
    Mutant(
        "unsynced tail lost on restart",
        "a copy takes what it has only written for durable",
        FleetLaw.I1,
        CHANCE,
        20,
        swaps=(InPlace(CopyState, "persist", broken.persist_and_believe),),
    ),
    Mutant(
        "empty disk under the old copy id",
        "a copy on a new disk keeps its old name",
        FleetLaw.I9,
        CHANCE,
        50,
        swaps=(InPlace(MemoryJournal, "fresh_copy_id", broken.same_copy_id),),
    ),
    Mutant(
        "no de-duplication",
        "a retry is not recognised",
        FleetLaw.I10,
        CHANCE,
        20,
        swaps=(InPlace(Retries, "find", lambda *_: None),),
    ),
    Mutant(
        'lost reply of a join taken for "no"',
        "a primary that hears nothing drops the intent",
        FleetLaw.I4,
        stage(DeafInJoin, "script: deaf in a join"),
        5,
        swaps=(InPlace(pair, "_EVENTS", {**broken.EVENTS, ProposalAnswered: broken.no_means_no}),),
    ),
    Mutant(
        "stale snapshot accepted",
        "a copy takes any reply of its primary for the answer to its last Hello",
        FleetLaw.I8,
        stage(EchoedWelcome, "script: echoed welcome"),
        5,
        swaps=(InPlace(pair, "_MESSAGES", {**broken.MESSAGES, Welcome: broken.any_welcome}),),
    ),
    Mutant(
        "fence not durable",
        "a copy acts in an epoch that its disk does not know",
        FleetLaw.I5,
        CHANCE,
        50,
        swaps=(InPlace(Deeds, "_save_meta", broken.save_all_but_the_fence),),
    ),
    Mutant(
        "retry answered before commit",
        "the recorded answer leaves as soon as it is found",
        FleetLaw.I11,
        CHANCE,
        20,
        swaps=(InPlace(Desk, "_replayed", broken.replayed_at_once),),
    ),
    Mutant(
        "read of an uncommitted entry",
        "a read does not wait for what it shows",
        FleetLaw.I11,
        CHANCE,
        20,
        swaps=(InPlace(Desk, "_read", broken.read_at_once),),
    ),
    Mutant(
        "restarted primary reads before its tail is acked",
        "a restarted primary answers from its whole journal",
        FleetLaw.I11,
        stage(RestartedAlone, "script: restarted alone"),
        5,
        rules=broken.AnswersTooEarly,
    ),
    Mutant(
        "SWAP commits with the new standby only",
        "a primary takes the swap that it asks for as decided",
        FleetLaw.I4,
        stage(SlowOldStandby, "script: slow old standby"),
        5,
        rules=broken.NewStandbyOnly,
    ),
    Mutant(
        "SWAP reads with the old lease only",
        "a primary reads by the lease of a standby that may have left",
        FleetLaw.I6,
        stage(SwapDecided, "script: swap decided"),
        5,
        rules=broken.OldLeaseOnly,
    ),
    Mutant(
        "lease of an evicted grantor counted",
        "any lease of the shard that has not run out is good enough",
        FleetLaw.I6,
        stage(EvictedGrantor, "script: evicted grantor"),
        5,
        swaps=(InPlace(LinkTable, "lease_until", broken.any_lease),),
    ),
    Mutant(
        "PROMOTED proposes ADD",
        "a promoted copy takes a second one in before it serves",
        FleetLaw.I6,
        stage(HastyPromoted, "script: hasty promoted"),
        5,
        swaps=(
            InPlace(pair_change, "_order_refusal", broken.takes_orders_before_it_serves),
            InPlace(pair_change, "_bind", broken.binds_before_it_serves),
        ),
    ),
    Mutant(
        "append of an older epoch accepted",
        "a standby takes entries of a generation that is over",
        FleetLaw.I1,
        stage(EchoedAppends, "script: echoed appends"),
        5,
        swaps=(InPlace(pair_follow, "_brought_to", broken.any_append),),
    ),
    Mutant(
        "acks counted across epochs",
        "a primary counts what was acknowledged in an epoch that is over",
        FleetLaw.I1,
        stage(EchoedAcksOfAnEpoch, "script: echoed acks, new epoch"),
        5,
        rules=broken.AcksOfAnyEpoch,
    ),
    Mutant(
        "acks counted across boots",
        "a primary counts what was acknowledged before it restarted",
        FleetLaw.I1,
        stage(EchoedAcks, "script: echoed acks"),
        5,
        rules=broken.AcksOfAnyBoot,
    ),
    Mutant(
        "no truncation at first contact",
        "a standby keeps a suffix that its primary lacks",
        FleetLaw.I1,
        stage(LostTail, "script: lost tail"),
        5,
        rules=broken.NoTruncation,
    ),
    Mutant(
        "ADD decided before the learner reached n",
        "a learner joins as soon as its change is binding",
        FleetLaw.I7,
        CHANCE,
        50,
        rules=broken.JoinsEarly,
    ),
    Mutant(
        "learner kept attached across epochs",
        "a copy goes on acknowledging in a new generation without a first contact",
        FleetLaw.I1,
        stage(EchoedLateAcks, "script: echoed late acks"),
        5,
        swaps=(
            InPlace(pair_change, "_forget_what_was_under_way", broken.forget_but_contact),
            InPlace(pair_follow, "adopt_boot", broken.adopt_boot_in_contact),
        ),
    ),
    Mutant(
        "damaged sole copy discarded",
        "a damaged copy is set aside although no other is in sync",
        FleetLaw.I8,
        stage(DamagedAlone, "script: damaged alone"),
        5,
        swaps=(InPlace(Holding, "to_set_aside", property(lambda self: bool(self._state.complaint))),),
    ),
    Mutant(
        "damaged primary leads",
        "a primary tells its standby to drop what lies behind the damage in its own journal",
        FleetLaw.I8,
        stage(DamagedPrimary, "script: damaged primary"),
        5,
        swaps=(InPlace(pair_join, "_welcome", broken.welcome_in_spite_of_damage),),
    ),
    Mutant(
        "thawed node acts on old silence",
        "a process that was stopped judges its peers by what it did not hear meanwhile",
        FleetLaw.VERDICT,
        CHANCE,
        50,
        swaps=(InPlace(LinkTable, "jumped", lambda *_: None),),
    ),
)

-------------------------------- MODULE Pair --------------------------------
(* The Pair protocol (PROTOCOL.md sections 1 to 6, without override and tenant move), for TLC.

   Messages are facts: an Append or an Ack that was sent may arrive at any later time, in any order, more than once, or
   never. So may a proposal: the store takes it or not, long after its proposer crashed, and the proposer learns the
   record late or never (an unknown outcome). A copy that loses its disk says nothing more, as one that is cut off: the
   third copy is the new one. Time is not here: a lease is worth something until its grantor has waited it out.
   Bug is "none", or names a mutant (PROTOCOL.md section 8). *)
EXTENDS Integers, Sequences, FiniteSets
CONSTANTS Nobody, Drain, \* an intent is for a learner, to drain, or for nobody: there is none
          Epochs, Writes, Crashes, \* bounds: records of the store, request ids, restarts
          Bug
VARIABLES rec,     \* the store: the records of all epochs, the last in force; any copy may learn any of them, late
          asked,   \* proposals that the store may still take
          cp,      \* what each copy holds; a journal entry is <<generation, request id>>
          appends, \* journals sent: every prefix of each of them is an Append that may arrive
          acks,    \* acknowledgements sent
          lease,   \* grants of a copy to its primary, until the grantor has waited them out
          shown,   \* what clients were told: entries with their place, the generation that told, whom it waited for
          left     \* restarts still to come
vars == <<rec, asked, cp, appends, acks, lease, shown, left>>
Copies == 1..3
Max(S) == CHOOSE x \in S : \A y \in S : y <= x
Min(S) == CHOOSE x \in S : \A y \in S : x <= y
Gen(epoch, boot) == 4 * epoch + boot
Epoch(gen) == gen \div 4
Top == Len(rec)
Sync(c) == IF cp[c].gen = 0 THEN {} ELSE rec[Epoch(cp[c].gen)].sync
Entries(log) == {log[i] : i \in DOMAIN log}
Common(a, b) == Max({n \in 0..Min({Len(a), Len(b)}) : SubSeq(a, 1, n) = SubSeq(b, 1, n)})
Holds(c, x) == x.at <= Len(cp[c].log) /\ cp[c].log[x.at] = x.entry
None == [to |-> Nobody, n |-> 0]
Owner(c) == cp[c].role \in {"primary", "promoted", "restarted"}

(* The rules: what counts, what may be shown. *)
Joining(p) == {cp[p].intent.to} \cap Copies
Solo(p) == Sync(p) = {p}
Needed(p) == \* whom an acknowledgement needs: both assignments while a change is in flight
    CASE Bug = "ack before CAS" -> {}
      [] Bug = "solo acks during ADD" /\ Solo(p) -> {}
      [] Bug = "SWAP commits with the new standby only" /\ Joining(p) # {} -> Joining(p)
      [] OTHER -> (Sync(p) \ {p}) \cup Joining(p)
Grantors(p) == \* whose leases a read needs
    CASE Bug = "solo reads without lease during ADD" /\ Solo(p) -> {}
      [] Bug = "SWAP reads with the old lease only" /\ ~Solo(p) -> Sync(p) \ {p}
      [] OTHER -> (Sync(p) \ {p}) \cup Joining(p)
Counts(gen, p) == \* whether an ack that came belongs to the present generation
    \/ gen = cp[p].gen
    \/ Bug = "acks counted across epochs" /\ Epoch(gen) < Epoch(cp[p].gen) /\ rec[Epoch(gen)].prim = p
    \/ Bug = "acks counted across boots" /\ Epoch(gen) = Epoch(cp[p].gen)
Acked(p, c) == Max({-1} \cup {a.n : a \in {a \in acks : a.by = c /\ Counts(a.gen, p)}})
Committed(p) == Min({Len(cp[p].log)} \cup {Acked(p, c) : c \in Needed(p)})
Leased(p, c) == [to |-> p, by |-> c] \in lease
Admits(p) == cp[p].role = "primary" /\ (cp[p].intent.to # Drain \/ Bug = "switchover without drain")
Reads(p) == \* a read is answered now, from all of the journal
    /\ Admits(p) \/ (Bug = "restarted primary reads before its tail is acked" /\ cp[p].role = "restarted")
    /\ Committed(p) = Len(cp[p].log) \/ Bug = "read of an uncommitted entry" \/ cp[p].role = "restarted"
    /\ IF Bug = "lease of an evicted grantor counted" /\ Grantors(p) # {} THEN \E c \in Copies : Leased(p, c)
                                                  ELSE \A c \in Grantors(p) : Leased(p, c)
Retries(p) == \* a retry is answered up to here
    CASE cp[p].role # "primary" -> -1 [] Bug = "retry answered before commit" -> Len(cp[p].log) [] OTHER -> Committed(p)

(* The store. *)
Decide(prim, sync) == /\ Top < Epochs
                      /\ rec' = Append(rec, [prim |-> prim, sync |-> sync])
                      /\ asked' = {}
                      /\ UNCHANGED <<cp, appends, acks, lease, shown, left>>
Take == \E x \in asked : Decide(x.prim, x.sync)
Promote == \E c \in Copies \ {rec[Top].prim} :
    /\ c \in rec[Top].sync \/ Bug = "promote outside in_sync"
    /\ Decide(c, IF Bug = "unplanned promotion that keeps both in sync" THEN rec[Top].sync ELSE {c})
InForce(p) == rec[Top].prim = p /\ Epoch(cp[p].gen) = Top /\ Owner(p)
Evict(p) == InForce(p) /\ ~Solo(p) /\ Decide(p, {p})
Cancel(p) == InForce(p) /\ cp[p].intent # None /\ Decide(p, Sync(p))
RoleIn(c, epoch) == \* what a copy is that the record of an epoch calls its primary
    LET handed == Cardinality(rec[epoch].sync) = 2 /\ rec[epoch - 1].prim # c /\ c \in rec[epoch - 1].sync
    IN CASE Owner(c) -> cp[c].role
         [] cp[c].role = "standby" /\ handed /\ Epoch(cp[c].gen) = epoch - 1 -> "primary"
         [] OTHER -> "promoted"
Sends(p, gen, log) == appends' = appends \cup {[by |-> p, gen |-> gen, log |-> log]}
Learn(c) == \E epoch \in Epoch(cp[c].gen) + 1..Top : LET gen == Gen(epoch, 0) IN
    \* That another is primary may be learned as well, but enables nothing: Receive and Attach bring it along.
    /\ rec[epoch].prim = c
    /\ cp' = [cp EXCEPT ![c].gen = gen, ![c].role = RoleIn(c, epoch), ![c].intent = None]
    /\ Sends(c, gen, cp[c].log)
    /\ UNCHANGED <<rec, asked, acks, lease, shown, left>>

(* Write, append, acknowledge, answer. *)
Write(p) == \E w \in 1..Writes :
    /\ Admits(p) /\ Len(cp[p].log) < Writes
    /\ Bug = "no de-duplication" \/ w \notin {x[2] : x \in Entries(cp[p].log)}
    /\ w = 1 \/ \E c \in Copies : \E x \in Entries(cp[c].log) : x[2] \in {w - 1, w} \* which is 1 makes no difference
    /\ cp' = [cp EXCEPT ![p].log = Append(@, <<cp[p].gen, w>>)] /\ Sends(p, cp[p].gen, cp'[p].log)
    /\ UNCHANGED <<rec, asked, acks, lease, shown, left>>
Answer(p) == LET n == Committed(p)
                 told == {[at |-> i, entry |-> cp[p].log[i], gen |-> cp[p].gen, by |-> {p} \cup Needed(p)] : i \in 1..n}
                 new == {x \in told : \A y \in shown : <<x.at, x.entry>> # <<y.at, y.entry>>} IN
    /\ cp[p].role = "primary" /\ new # {} /\ shown' = shown \cup new
    /\ IF Bug = "unsynced tail lost on restart" THEN UNCHANGED cp \* else what is told is synced, now at the latest
       ELSE cp' = [cp EXCEPT ![p].synced = Max({@, n})]
    /\ UNCHANGED <<rec, asked, appends, acks, lease, left>>
Follow(c, gen, role, log) ==
    /\ cp' = [cp EXCEPT ![c] = [gen |-> Max({@.gen, gen}), role |-> role, log |-> log, synced |-> Len(log),
                              intent |-> None]]
    /\ acks' = acks \cup {[by |-> c, gen |-> gen, n |-> Len(log)]}
    /\ lease' = lease \cup {[to |-> rec[Epoch(gen)].prim, by |-> c]}
    /\ UNCHANGED <<rec, asked, appends, shown, left>>
Receive(c) == \E m \in appends : LET own == cp[c].log
                                     same == Epoch(m.gen) = Epoch(cp[c].gen)
                                     member == c \in rec[Epoch(m.gen)].sync
                                     contact == \E a \in acks : a.by = c /\ a.gen = m.gen
                                     stays == /\ Bug = "learner kept attached across epochs" /\ cp[c].role = "learner"
                                              /\ ~same /\ m.by = rec[Epoch(cp[c].gen)].prim IN
    /\ m.by # c
    /\ m.gen >= cp[c].gen \/ Bug = "append of an older epoch accepted"
    /\ Epoch(m.gen) <= Epoch(cp[c].gen) => cp[c].role \in {"standby", "learner"}
    /\ same \/ member \/ stays
    /\ \E n \in (IF Bug = "stale snapshot accepted" THEN 0 ELSE Common(own, m.log))..Len(m.log) :
       /\ contact => n > Len(own) \/ Bug = "stale snapshot accepted"
       /\ Follow(c, m.gen, IF same THEN cp[c].role ELSE IF member THEN "standby" ELSE "learner",
                 IF (stays \/ Bug = "no truncation at first contact") /\ Len(own) >= n
                 THEN own ELSE SubSeq(m.log, 1, n)) \* at first contact, what lies beyond the common part goes

(* Join, drain, propose. *)
Serves(p) == cp[p].role = "primary" \/ (Bug = "PROMOTED proposes ADD" /\ cp[p].role = "promoted")
Attach(p) == \E t \in Copies \ Sync(p) :
    /\ Serves(p) \/ t \in Joining(p)
    /\ cp[t].gen <= cp[p].gen /\ ~(cp[t].role = "learner" /\ cp[t].gen = cp[p].gen)
    /\ Follow(t, cp[p].gen, "learner", SubSeq(cp[p].log, 1, Common(cp[p].log, cp[t].log)))
Intend(p) == \E t \in {Drain} \cup {c \in Copies \ Sync(p) : cp[c].role = "learner" /\ cp[c].gen = cp[p].gen} :
    /\ Serves(p) /\ InForce(p) /\ Top < Epochs /\ cp[p].intent = None
    /\ t = Drain => ~Solo(p)
    /\ cp' = [cp EXCEPT ![p].intent = [to |-> t, n |-> Len(cp[p].log)]]
    /\ UNCHANGED <<rec, asked, appends, acks, lease, shown, left>>
Ask(p) == LET i == cp[p].intent
              s == CHOOSE c \in Sync(p) : c # p
              drained == Acked(p, s) >= Len(cp[p].log) IN
    /\ InForce(p) /\ i # None
    /\ IF i.to = Drain THEN drained ELSE Acked(p, i.to) >= i.n \/ Bug = "ADD decided before the learner reached n"
    /\ asked' = asked \cup {IF i.to = Drain THEN [prim |-> s, sync |-> Sync(p)] ELSE [prim |-> p, sync |-> {p, i.to}]}
    /\ cp' = IF i.to = Drain THEN [cp EXCEPT ![p].synced = Len(cp[p].log)] ELSE cp
    /\ asked' # asked
    /\ UNCHANGED <<rec, appends, acks, lease, shown, left>>

(* Restart, and the wait of whoever was promoted or restarted. *)
Restart(c) == \E n \in cp[c].synced..Len(cp[c].log) : LET gen == IF Owner(c) THEN cp[c].gen + 1 ELSE cp[c].gen IN
    /\ left > 0 /\ left' = left - 1 /\ (Owner(c) \/ cp[c].role = "learner")
    /\ cp' = [cp EXCEPT ![c].gen = gen, ![c].log = SubSeq(@, 1, n), ![c].role = IF Owner(c) THEN "restarted" ELSE "out",
                        ![c].intent = IF Bug = "restart without intents" THEN None ELSE @]
    /\ IF Owner(c) THEN Sends(c, gen, cp'[c].log) ELSE UNCHANGED appends
    /\ UNCHANGED <<rec, asked, acks, lease, shown>>
Serve(c) ==
    /\ cp[c].role \in {"promoted", "restarted"} /\ Committed(c) = Len(cp[c].log)
    /\ cp' = [cp EXCEPT ![c].role = "primary"]
    /\ lease' = IF Bug = "no lease wait" \/ (Bug = "restart without lease wait" /\ cp[c].role = "restarted")
                THEN lease ELSE {l \in lease : l.by # c}
    /\ UNCHANGED <<rec, asked, appends, acks, shown, left>>
Mistake(c) == \* steps that only mutants take
    /\ \/ /\ Bug = "drain aborted by time-out" /\ cp[c].intent.to = Drain
          /\ cp' = [cp EXCEPT ![c].intent = None]
       \/ /\ Bug = "lost reply of a join taken for no" /\ Joining(c) # {} /\ asked # {}
          /\ cp' = [cp EXCEPT ![c].intent = None]
       \/ /\ Bug = "empty disk under the old copy id" /\ cp[c].log # <<>>
          /\ cp' = [cp EXCEPT ![c] = [gen |-> 0, role |-> "out", log |-> <<>>, synced |-> 0, intent |-> None]]
       \/ /\ Bug = "fence not durable" /\ cp[c].role \in {"standby", "learner"}
          /\ \E e \in 1..Epoch(cp[c].gen) - 1 : /\ c \in rec[e].sync \ {rec[e].prim}
                                               /\ cp' = [cp EXCEPT ![c].gen = Gen(e, 0), ![c].role = "standby"]
    /\ UNCHANGED <<rec, asked, appends, acks, lease, shown, left>>
Init == \E standby \in {{}, {2}} : LET members == {1} \cup standby IN \* SYNC or SOLO; names make no difference
    /\ rec = <<[prim |-> 1, sync |-> members]>>
    /\ cp = [c \in Copies |-> [gen |-> IF c \in members THEN Gen(1, 0) ELSE 0, log |-> <<>>, synced |-> 0,
                               intent |-> None, role |-> CASE c = 1 -> "primary" [] c \in standby -> "standby"
                                                              [] OTHER -> "out"]]
    /\ appends = {[by |-> 1, gen |-> Gen(1, 0), log |-> <<>>]}
    /\ lease = {[to |-> 1, by |-> c] : c \in standby}
    /\ asked = {} /\ acks = {} /\ shown = {} /\ left = Crashes
Next == Take \/ Promote \/ \E c \in Copies : \/ Evict(c) \/ Cancel(c) \/ Learn(c) \/ Write(c) \/ Answer(c) \/ Receive(c)
                                             \/ Attach(c) \/ Intend(c) \/ Ask(c) \/ Restart(c) \/ Serve(c)
                                             \/ Mistake(c)
Spec == Init /\ [][Next]_vars

(* The laws. *)
I4_Joint == \A p \in Copies : Joining(p) # {} => \A x \in {x \in shown : x.gen = cp[p].gen} :
    \A c \in Sync(p) \cup (IF x.at > cp[p].intent.n THEN Joining(p) ELSE {}) : Holds(c, x)
I3_NoSoloAckBeforeCas == \A x \in shown : rec[Epoch(x.gen)].sync \subseteq x.by
I11_NothingUncommitted == \A p \in Copies :
    Max({Retries(p), IF Reads(p) THEN Len(cp[p].log) ELSE 0}) <= Max({0, Committed(p)})
I6_OneReader == \A p \in Copies : Reads(p) => /\ \A x \in shown : Holds(p, x)
                                              /\ \A q \in Copies : Reads(q) => q = p
I1_OnEveryMember == \A x \in shown : \A c \in rec[Epoch(x.gen)].sync : Holds(c, x)
I2_I7_I8_Kept == \A x \in shown : \A c \in rec[Top].sync : Holds(c, x)
I10_Once == \A c \in Copies : Cardinality({x[2] : x \in Entries(cp[c].log)}) = Len(cp[c].log)
=============================================================================

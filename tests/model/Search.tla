------------------------------- MODULE Search -------------------------------
(* What TLC compares when it asks whether it has seen a state of Pair before: everything but what can have no more
   effect. Without it the same states are searched several times over. *)
EXTENDS Pair

Stands(epoch) == \E c \in Copies : Epoch(cp[c].gen) = epoch
Comes(epoch) == \* somebody can still enter it: its primary by learning the record, a member by an Append
    \E c \in Copies : /\ Epoch(cp[c].gen) < epoch
                      /\ \/ rec[epoch].prim = c
                         \/ c \in rec[epoch].sync /\ \E m \in appends : Epoch(m.gen) = epoch
Awaited(m) == \E c \in Copies \ {m.by} : /\ cp[c].gen <= m.gen
                                         /\ \/ Epoch(cp[c].gen) = Epoch(m.gen)
                                            \/ c \in rec[Epoch(m.gen)].sync
Counted(a) == /\ cp[a.by].gen = a.gen \/ \E p \in Copies : Owner(p) /\ cp[p].gen = a.gen
              /\ \A b \in acks : b.by = a.by /\ b.gen = a.gen => b.n <= a.n
Told(x) == [at |-> x.at, entry |-> x.entry, gen |-> IF \E p \in Copies : cp[p].gen = x.gen THEN x.gen ELSE 0]

View == <<[epoch \in 1..Top |-> IF epoch = Top \/ Stands(epoch) \/ Comes(epoch) THEN rec[epoch] ELSE None],
          asked,
          IF left > 0 THEN cp ELSE [c \in Copies |-> [cp[c] EXCEPT !.synced = 0]],
          {m \in appends : Awaited(m)},
          {a \in acks : Counted(a)},
          {l \in lease : Owner(l.to)},
          {Told(x) : x \in shown}, I1_OnEveryMember, I3_NoSoloAckBeforeCas, \* so these are judged when it is told
          left>>
=============================================================================

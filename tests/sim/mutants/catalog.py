"""All mutants there are, and those of PROTOCOL.md section 8 that wait for what they would break."""

from collections.abc import Mapping

from tests.sim.mutants import client, control_plane, pair
from tests.sim.mutants.mutant import Mutant

MUTANTS: Mapping[str, Mutant] = {
    mutant.name: mutant for mutant in (*pair.MUTANTS, *control_plane.MUTANTS, *client.MUTANTS)
}
WAITING = ("tenant adopted before the override row is known", "retry index left behind by a move")
"""They wait for the tenant move."""
assert len(MUTANTS) == len((*pair.MUTANTS, *control_plane.MUTANTS, *client.MUTANTS)), "two mutants share a name"

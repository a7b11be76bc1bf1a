"""What more than one floor speaks: names, errors, time, topology, assignments, ports and the wire."""

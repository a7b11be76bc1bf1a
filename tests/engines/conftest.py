"""What tests against real servers share."""

import importlib.util

# Their clients come with the cluster's lock, which `make test-engines` installs and `make test` does without.
collect_ignore_glob = [] if importlib.util.find_spec("cassandra") else ["test_*.py"]

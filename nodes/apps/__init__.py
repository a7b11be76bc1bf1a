"""The apps that come with a node, and what they and the ledger put into the journal."""

"""The edge of the core: real clocks, dialling, serving, rich status on the wire."""

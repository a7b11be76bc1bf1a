"""The edge of chaos: processes, sockets, files and the terminal."""

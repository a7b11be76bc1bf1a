"""gRPC on the event loop itself, for the many small messages that the processes of a fleet send each other.

grpc.aio runs its sockets in a thread of its own: a message wakes two threads at either end, and on a machine that is
mostly idle waking up is what a message costs. Here the loop that serves the message also reads its socket, so one
message is one wake-up. It is ordinary gRPC over HTTP/2 on the wire (the library h2 speaks that; both directions are
tested against grpc.aio), without what a fleet does not use inside: compression, credentials, load balancing,
interceptors.
"""

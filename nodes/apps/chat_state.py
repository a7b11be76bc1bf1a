"""What chat holds for a tenant: channels with their posts and read marks; and how that is written down."""

from collections.abc import Iterable, Iterator

from twinhold.v1 import chat_pb2 as pb

PART_BYTES = 240 * 1024
"""A part is full at this size; the largest post, text and reactions at their limits, has less."""
PIECE_BYTES = 64 * 1024
PIECE_MARKS = 1000
EXTRA_BYTES = 16
"""Of a post, a mark or a channel, beside its own."""


class Channel:
    """One channel. The post with seq n stands at n - 1, as a serialized ``Post``, which is never changed in place."""

    __slots__ = ("marks", "posts")

    def __init__(self) -> None:
        self.posts: list[bytes] = []
        self.marks: dict[str, int] = {}

    def post(self, seq: int) -> pb.Post:
        """Read a post that exists."""
        return pb.Post.FromString(self.posts[seq - 1])

    def posted(self, event: pb.Posted) -> None:
        """Take a post."""
        post, seq, reply_to_seq = pb.Post(), event.seq, event.reply_to_seq
        assert seq == len(self.posts) + 1, f"post {seq} can't follow post {len(self.posts)}"
        post.seq, post.text, post.author, post.at_ms = seq, event.text, event.author, event.at_ms
        if reply_to_seq:
            post.reply_to_seq = reply_to_seq
        self.posts.append(post.SerializeToString())

    def edited(self, event: pb.Edited) -> None:
        """Take a new text."""
        post = self.post(event.seq)
        post.text, post.edited_at_ms = event.text, event.at_ms
        self._put(post)

    def deleted(self, event: pb.Deleted) -> None:
        """Empty a post; it keeps its place."""
        post = self.post(event.seq)
        post.text, post.deleted = "", True
        del post.reactions[:]
        self._put(post)

    def reacted(self, event: pb.Reacted) -> None:
        """Add a reaction, or take it back."""
        post = self.post(event.seq)
        reaction = next((one for one in post.reactions if one.emoji == event.emoji), None)
        if reaction is None:
            reaction = post.reactions.add(emoji=event.emoji)
        if event.removed:
            reaction.actors.remove(event.actor)
        else:
            reaction.actors.append(event.actor)
        if not reaction.actors:
            post.reactions.remove(reaction)
        self._put(post)

    def _put(self, post: pb.Post) -> None:
        self.posts[post.seq - 1] = post.SerializeToString()


class ChatState:
    """One tenant."""

    __slots__ = ("channels",)

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}

    def open(self, name: str) -> Channel:
        """Return a channel, opened if it is not."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel()
        return channel


def exported(state: ChatState) -> Iterator[bytes]:
    """Write the state as it is now: posts are never changed in place, so that shallow copies are enough."""
    copies = [(name, list(channel.posts), dict(channel.marks)) for name, channel in state.channels.items()]
    return _parts(copies)


def loaded(parts: Iterable[bytes]) -> ChatState:
    """Read what ``exported`` wrote."""
    state = ChatState()
    for part in parts:
        for piece in pb.ChatPart.FromString(part).channels:
            channel = state.open(piece.channel)
            channel.posts.extend(piece.posts)
            channel.marks.update((mark.actor, mark.seq) for mark in piece.marks)
    return state


def _parts(copies: list[tuple[str, list[bytes], dict[str, int]]]) -> Iterator[bytes]:
    part, size = pb.ChatPart(), 0
    for name, posts, marks, length in _pieces(copies):
        if size and size + length > PART_BYTES:
            yield part.SerializeToString()
            part, size = pb.ChatPart(), 0
        piece = part.channels.add()  # Filled where it stands: protobuf copies what is built apart.
        piece.channel = name
        piece.posts.extend(posts)
        for actor, seq in marks:
            piece.marks.add(actor=actor, seq=seq)
        size += length
    if size:
        yield part.SerializeToString()


def _pieces(
    copies: list[tuple[str, list[bytes], dict[str, int]]],
) -> Iterator[tuple[str, list[bytes], list[tuple[str, int]], int]]:
    """Cut channels into pieces of posts or of marks, with about as many bytes as each has."""
    for name, posts, marks in copies:
        first = size = 0
        for n, post in enumerate(posts):
            length = len(post) + EXTRA_BYTES
            if size and size + length > PIECE_BYTES:
                yield name, posts[first:n], [], size
                first, size = n, 0
            size += length
        yield name, posts[first:], [], size + len(name) + EXTRA_BYTES
        rows = list(marks.items())
        for first in range(0, len(rows), PIECE_MARKS):
            some = rows[first : first + PIECE_MARKS]
            yield name, [], some, sum(len(actor) + EXTRA_BYTES for actor, _ in some)

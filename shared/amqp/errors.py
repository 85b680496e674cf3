"""What the broker, or the way to it, ends a call with."""


class AmqpError(Exception):
    """A call of the broker that came to nothing."""


class ConnectionLost(AmqpError):
    """The connection is gone; whatever was under way may have been done."""


class ChannelClosed(AmqpError):
    """The broker has closed the channel, or with it the connection, and says why."""

    def __init__(self, code: int, text: str):
        super().__init__(text)
        self.code = code


class PreconditionFailed(ChannelClosed):
    """406: it exists with other arguments, or the message is larger than the broker takes."""


class NotFound(ChannelClosed):
    """404: there is no such queue or exchange."""


def closed(code: int | None, text: str | None) -> ChannelClosed:
    """The error for a reply code of the specification."""
    code, text = code or 0, text or "no reason was given"
    return {404: NotFound, 406: PreconditionFailed}.get(code, ChannelClosed)(code, text)

"""How the cache hears of new versions: from every event, in a queue that goes with its connection."""

import logging
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from pamqp.commands import Queue
from prometheus_client import Histogram
from pydantic import ValidationError

from gateway.cache import Cache
from shared.amqp.channel import Channel
from shared.amqp.content import Incoming
from shared.amqp.errors import ConnectionLost
from shared.messages import EVENTS
from shared.topology import EVENTS_EXCHANGE

log = logging.getLogger(__name__)

DELAY = Histogram(
    "event_delay_seconds",
    "From saying an event to hearing it here: so long another replica may show what was before.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)


class EventLine:
    """Tells the cache what events tell."""

    def __init__(self, cache: Cache):
        self.cache = cache
        self.queue = f"events.gateway.{uuid4().hex[:8]}"

    async def open(self, channel: Channel) -> None:
        """Hear on a new channel. What was said since the last one was lost is unknown, so nothing is kept."""
        await channel.call(Queue.Declare(queue=self.queue, exclusive=True, auto_delete=True))
        for routing_key in EVENTS:
            if not routing_key.startswith("*."):
                bind = Queue.Bind(queue=self.queue, exchange=EVENTS_EXCHANGE, routing_key=routing_key)
                await channel.call(bind)
        gone = partial(channel.connection.drop, ConnectionLost("the queue of events is gone"))
        await channel.consume(self.queue, self._heard, name="gateway", cancelled=gone, no_ack=True)
        self.cache.forget()

    def _heard(self, message: Incoming) -> None:
        try:
            event = EVENTS[message.routing_key].model_validate_json(message.body)
        except (ValidationError, KeyError):
            log.warning("an event that does not fit", extra={"fields": {"event": message.routing_key}})
            self.cache.forget()  # it may have told of anything
            return
        for address, version in event.versions().items():
            self.cache.told(address, version)
        said_at = message.headers.get("cloudEvents_time")
        if isinstance(said_at, str):
            DELAY.observe(_seconds_since(said_at))


def _seconds_since(time: str) -> float:
    try:
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds())
    except (TypeError, ValueError):  # published by hand
        return 0.0

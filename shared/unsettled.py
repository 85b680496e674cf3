"""What is not acknowledged yet. Each acknowledgement is an entry in a quorum queue's log: few are made.

What is settled waits a moment for others: after a lone command the broker would otherwise write and sync a
second time, while the next one waits for that disk. If the process dies meanwhile, some more messages come
back, which the inbox knows; what it would not know, or what takes long, does not wait. One frame settles all
deliveries of a channel up to a tag, which is right only when every earlier one of the channel is settled.
"""

from collections import defaultdict
from collections.abc import Sequence

from shared.amqp.channel import Channel
from shared.delivery import Delivery
from shared.holding import Held


class Unsettled:
    """The deliveries of a process that are not acknowledged yet, by channel and in order of their tags."""

    def __init__(self) -> None:
        self.tags: dict[Channel, dict[int, None]] = {}
        self.seen: dict[Channel, int] = {}
        self.held = Held(self._acknowledge, patient=True)

    def add(self, delivery: Delivery) -> None:
        channel, tag = delivery.channel, delivery.raw.tag
        if channel not in self.tags:
            self.tags = {known: tags for known, tags in self.tags.items() if not known.is_closed}
            self.seen = {known: tag for known, tag in self.seen.items() if not known.is_closed}
            self.tags[channel], self.seen[channel] = {}, 0
        for unseen in range(self.seen[channel] + 1, tag + 1):
            self.tags[channel][unseen] = None  # what never came this far must not be acknowledged with others
        self.seen[channel] = max(tag, self.seen[channel])

    def hand_back(self, delivery: Delivery, *, requeue: bool = True) -> None:
        """Have it delivered again, which RabbitMQ does until the delivery limit; or given up at once."""
        self.tags.get(delivery.channel, {}).pop(delivery.raw.tag, None)
        delivery.channel.reject(delivery.raw.tag, requeue=requeue)

    def settle(self, deliveries: Sequence[Delivery], *, at_once: bool = False) -> None:
        """Have them acknowledged, soon and with others. What cannot be acknowledged comes again."""
        self.held.add(deliveries, at_once=at_once or any(map(_cannot_wait, deliveries)))

    def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """In as few frames as is right."""
        by_channel: dict[Channel, list[int]] = defaultdict(list)
        for delivery in deliveries:
            by_channel[delivery.channel].append(delivery.raw.tag)
            self.tags.get(delivery.channel, {}).pop(delivery.raw.tag, None)
        for channel, tags in by_channel.items():
            first_open = next(iter(self.tags.get(channel, {})), max(tags) + 1)
            if done := [tag for tag in tags if tag < first_open]:
                channel.ack(max(done), multiple=True)
            for tag in tags:
                if tag > first_open:
                    channel.ack(tag)


def _cannot_wait(delivery: Delivery) -> bool:
    """Without a message id the inbox does not know it when it comes again; what takes long has few places."""
    return not delivery.raw.message_id or delivery.handler.prepare is not None

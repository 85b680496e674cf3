"""What the kernel logs of a message tells its story: attempts, refusals, crashes, events heard."""

from pathlib import Path

from tests.amqp import Client
from tests.system import Replica, System, eventually
from tests.telling import expect

TOY = "tests.toy_service"


async def test_every_attempt_is_told_with_its_error_and_who_heard_the_event(
    toy: Replica, amqp: Client, folder: Path
) -> None:
    await amqp.ask("toy.mark", {"text": "told", "then": "break_twice"}, message_id="thrice")

    broke = "toy | attempt {} broke: RuntimeError: Told to break.; again in 1 s"
    await expect(
        folder,
        "thrice",
        [
            "toy | Mark thrice",
            f"  {broke.format(1)}",
            f"  {broke.format(2)}",
            "  toy | attempt 3 done",
            "    toy | Marked ID",
            "      toy | heard, done",
        ],
    )


async def test_what_is_given_up_is_told_with_its_reason(toy: Replica, amqp: Client, folder: Path) -> None:
    await amqp.ask("toy.mark", {"text": "told", "then": "break"}, message_id="hopeless")

    broke = "broke: RuntimeError: Told to break.;"
    await expect(
        folder,
        "hopeless",
        [
            "toy | Mark hopeless",
            f"  toy | attempt 1 {broke} again in 1 s",
            f"  toy | attempt 2 {broke} again in 1 s",
            f"  toy | attempt 3 {broke} no attempt left",
            "  toy | given up, lies in dead_letters: RuntimeError: Told to break.",
        ],
    )


async def test_refusals_are_told_with_their_code_also_those_that_nobody_waits_for(
    toy: Replica, amqp: Client, folder: Path
) -> None:
    refused = {"text": "told", "first": "refuse"}
    await amqp.ask("toy.mark", refused, message_id="answered no")
    await amqp.publish("toy.mark", refused, message_id="unheard no")
    await amqp.publish("toy.mark", b"{}", message_id="told misfit")

    said = "refused, told: Told to refuse before writing."
    await expect(folder, "answered no", [f"toy | Mark {said}, answered no"])
    await expect(folder, "unheard no", [f"toy | Mark {said}, unheard no", "  toy | CommandRefused ID"])
    reason = "The message does not fit its contract: text: Field required."
    await expect(folder, "told misfit", [f"toy | Mark given up, lies in dead_letters: {reason}, told misfit"])


async def test_an_event_that_a_crash_left_behind_is_told_as_sent_late(
    system: System, toy: Replica, amqp: Client, folder: Path
) -> None:
    toy.process.end()
    dying = system.launch(TOY, die=f"before_publish:{folder / 'story.died'}")
    await amqp.publish("toy.mark", {"text": "late"}, message_id="crashed")
    await eventually(_ended(dying), "the service died")
    await system.start(TOY)

    await expect(
        folder,
        "crashed",
        [
            "toy | Mark crashed",
            "  toy | done",
            "    toy | Marked ID",
            "      toy | sent late, left behind by a crash or a lost connection",
            "      toy | heard, done",
            "  toy | delivered again",
            "  toy | done before, answered again",
        ],
    )


def _ended(replica: Replica):  # type: ignore[no-untyped-def]
    async def ended() -> bool:
        return replica.process.exit_code is not None

    return ended

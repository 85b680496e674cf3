"""The end: nothing is left."""

from tests.compose.composed import Composed


def test_down_leaves_nothing(composed: Composed) -> None:
    composed.compose("--profile=metrics", "up", "--detach", "--no-recreate", "prometheus")
    assert composed.left().keys() == {"container", "volume", "network"}

    composed.compose("--profile=*", "down", "--volumes")

    assert composed.left() == {}
    assert composed.volumes() - composed.volumes_before == set(), "somebody's, if others use this engine, too"
    for version in ("test", "test-newer"):
        images = composed.engine("image", "ls", "--quiet", f"conveyor/*:{version}").split()
        composed.engine("image", "rm", "--force", *dict.fromkeys(images))

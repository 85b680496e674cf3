"""What can be seen to be missing or wrong before anything starts, while a person is there to be asked."""

from infra.local import installation, mongodb
from infra.local.clone import Clone
from infra.local.given_servers import given_mongodb, given_port, given_servers, with_store
from infra.local.problems import Problem, check_room
from infra.local.system import System


def check(clone: Clone, system: System) -> None:
    """A Problem where the system cannot start; installs RabbitMQ where it is needed and missing."""
    given = with_store(system, clone.given(), clone.home)
    for service in system.services:
        given_port(service, given)
    wanted = any(one.mongodb and not given_mongodb(one, given) for one in system.services)
    if wanted and mongodb.find_program() is None:
        raise Problem(mongodb.MISSING)
    if "RABBITMQ_URL" not in given_servers(system, given):
        installation.scripts_folder()
        installation.epmd()
        check_room(clone.home)

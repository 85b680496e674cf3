"""Where the links of `/docs/queues` lead."""

from gateway.queues import Links
from gateway.settings import GatewaySettings


def test_a_link_names_virtual_host_and_queue_as_the_management_page_does() -> None:
    link = Links("http://broker:15672/", "/").to("tasks.create task")

    assert 'href="http://broker:15672/#/queues/%2F/tasks.create%20task"' in link


def test_without_the_address_of_the_page_there_is_no_link() -> None:
    assert Links("", "/").to("tasks.create_task") == ""


def test_an_address_cannot_break_out_of_the_link() -> None:
    assert "<script>" not in Links('http://broker/"><script>', "/").to("q")


def test_the_virtual_host_is_the_one_in_the_brokers_address() -> None:
    urls = ("amqp://broker", "amqp://me:secret@broker:5672/", "amqp://broker/%2F", "amqp://broker/team%2Fa")
    settings = [GatewaySettings(rabbitmq_url=url) for url in urls]

    assert [one.virtual_host for one in settings] == ["/", "/", "/", "team/a"]
    assert settings[1].broker_host == "broker:5672"

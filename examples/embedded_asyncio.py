"""A run inside an event loop: an asynchronous generator goes in, `async for` takes out.

$ python examples/embedded_asyncio.py
"""

import asyncio

from actorflow import ProducerConsumer, Topology, from_iterable


class Upper(ProducerConsumer):
    """Runs in a process of its own."""

    def handle_events(self, events, subscription):
        return [event.upper() for event in events]


async def main():
    inbox = asyncio.Queue()

    async def messages():
        """Runs here, on the event loop."""
        while message := await inbox.get():
            yield message

    topology = (
        Topology("upper")
        .stage("messages", from_iterable(messages()))
        .stage("upper", Upper, subscribe_to=["messages"])
    )
    async with topology.astart() as run:
        answers = run.astream("upper")
        for message in ("one", "two", "three"):
            inbox.put_nowait(message)
            print(message, "->", await anext(answers))
        inbox.put_nowait(None)  # the last
        print("more answers:", [answer async for answer in answers])
        await run.wait_async(timeout=60)
    print("over:", run.over)


asyncio.run(main())

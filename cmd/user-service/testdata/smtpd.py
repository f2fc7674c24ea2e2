"""A mail server for a test: aiosmtpd. It stores each mail as a file in a folder.

The first character of the recipient's address decides what the server does with the first mail to that address:
for g (greylisting) it refuses the recipient with 451, for c it closes the connection before it answers, and for s
it stores the mail but does not answer.
"""

import asyncio
import logging
import pathlib
import sys
import uuid

from aiosmtpd.smtp import SMTP


class Handler:
    def __init__(self, folder):
        self.folder = folder

    def is_first(self, address):
        """Reports whether this is the first attempt, also after a restart of the server."""
        try:
            (self.folder / "seen" / address).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("g") and self.is_first(address):
            return "451 4.7.1 Greylisted, try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        address = envelope.rcpt_tos[0]
        if address.startswith("c") and self.is_first(address):
            server.transport.abort()
            return "421 4.4.2 Connection lost"
        name = f"{uuid.uuid4()}"
        (self.folder / "new" / name).write_bytes(envelope.content)
        (self.folder / "new" / name).rename(self.folder / f"{address}.{name}")
        if address.startswith("s") and self.is_first(address):
            await asyncio.sleep(3600)
        return "250 OK"


async def main(port, folder):
    for name in ("seen", "new"):
        (folder / name).mkdir(exist_ok=True)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(folder), hostname="mail.test"), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


logging.disable(logging.CRITICAL)
asyncio.run(main(int(sys.argv[1]), pathlib.Path(sys.argv[2])))

"""A mail server on a free port: prints its port, then every message as a line of JSON.

Arguments: a port (0 takes a free one), and the password that clients must log in with as `alerts`.
"""

import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Keep:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        seen = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": str(message["subject"]),
            "id": str(message["message-id"]),
            "date": str(message["date"]),
            "body": message.get_content(),
        }
        print(json.dumps(seen), flush=True)
        return "250 OK"


async def main(port, password):
    def known(server, session, envelope, mechanism, data):
        return AuthResult(success=(data.login, data.password) == (b"alerts", password.encode()))

    def protocol():
        return SMTP(Keep(), authenticator=known, auth_required=True, auth_require_tls=False)

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))

"""A mail server (aiosmtpd) for one test: says its port, then a line of JSON for each mail that it takes. It ends with its standard input."""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

certificate, key, security = sys.argv[1:4]


class Taker:
    async def handle_DATA(self, server, session, envelope):
        taken = {
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "user": (session.auth_data or b"").decode(),
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "message": envelope.content.decode(),
        }
        print(json.dumps(taken), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    is_right = data.login == b"mooring" and data.password == b"open sesame"
    return AuthResult(success=is_right, handled=False, auth_data=data.login)


def smtp(context):
    over_tls = security == "tls"
    return SMTP(
        Taker(),
        hostname="localhost",
        authenticator=authenticate,
        auth_required=security != "none",
        auth_require_tls=not over_tls,
        tls_context=context if security == "starttls" else None,
        require_starttls=security == "starttls",
    )


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    implicit = context if security == "tls" else None
    server = await loop.create_server(lambda: smtp(context), "127.0.0.1", 0, ssl=implicit)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())

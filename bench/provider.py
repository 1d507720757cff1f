"""A payment provider that answers after a while, and does no more than a bench needs: `python -m bench.provider PORT SECONDS`."""

import asyncio
import json
import sys
from itertools import count
from urllib.parse import parse_qs

_numbers = count(1)
_intents: dict[str, dict[str, object]] = {}


def _answer(method: str, path: str, body: str) -> dict[str, object]:
    parts = path.partition("?")[0].split("/")
    if method == "POST" and parts[-1] == "payment_intents":
        wanted = {name: values[0] for name, values in parse_qs(body).items()}
        name = f"pi_{next(_numbers)}"
        _intents[name] = {
            "id": name, "object": "payment_intent", "amount": int(wanted["amount"]), "currency": wanted["currency"],
            "status": "requires_confirmation", "last_payment_error": None, "next_action": None,
        }  # fmt: skip
        return _intents[name]
    name = parts[3]
    if parts[-1] == "confirm":
        return {**_intents.pop(name), "status": "succeeded"}  # who has been paid is never asked about again here
    return _intents[name]


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause: float) -> None:
    try:
        while line := await reader.readline():
            method, path, _ = line.decode().split(" ", 2)
            length = 0
            while (header := await reader.readline()).strip():
                if header.lower().startswith(b"content-length:"):
                    length = int(header.partition(b":")[2])
            body = (await reader.readexactly(length)).decode()
            answer = json.dumps(_answer(method, path, body)).encode()
            await asyncio.sleep(pause)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
            writer.write(head.encode() + answer)
            await writer.drain()
    finally:
        writer.close()


async def _main(port: int, pause: float) -> None:
    server = await asyncio.start_server(lambda reader, writer: _serve(reader, writer, pause), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))

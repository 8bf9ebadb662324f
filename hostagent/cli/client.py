"""Calls to the agent's socket from the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asyncvarlink import VarlinkClientProtocol, VarlinkErrorReply, connect_unix_varlink

from hostagent.agent.interface import AgentInterface
from hostagent.errors import RefusedError
from hostagent.host.paths import Paths

PATIENCE_S = 10
"""How long an agent that does not answer (it restarts, its store is away) is waited for."""


class NoAgent(RefusedError):  # noqa: N818 -- the state it is
    """There is nobody at the socket."""


def call(paths: Paths, use: Callable[[Any], Awaitable[Any]]) -> Any:
    """``use`` gets the agent's proxy; its result is returned.

    Raises:
        NoAgent: no agent listens.
        RefusedError: the agent said no; its sentence is the message.
    """
    try:
        return asyncio.run(_call(paths, use))
    except (FileNotFoundError, ConnectionError) as error:
        unit = "systemctl --user" if paths.user else "systemctl"
        raise NoAgent("no agent is up on this host", f"{unit} start hostagent") from error
    except TimeoutError as error:
        unit = "--user " if paths.user else ""
        raise RefusedError(
            f"the agent has not answered for {PATIENCE_S} s", f"systemctl {unit}status hostagent"
        ) from error
    except VarlinkErrorReply as error:
        told = error.paramstojson().get("reason")
        raise RefusedError(str(told) if told else f"the agent answered {error}") from error


async def _call(paths: Paths, use: Callable[[Any], Awaitable[Any]]) -> Any:
    transport, protocol = await connect_unix_varlink(VarlinkClientProtocol, paths.socket)
    try:
        proxy = protocol.make_proxy(AgentInterface)
        await asyncio.wait_for(proxy.Status(), PATIENCE_S)
        return await use(proxy)
    finally:
        transport.close()

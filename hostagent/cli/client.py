"""Calls to the agent's socket from the command line.

Agent and command may be of two ages: a package was upgraded, and the agent not yet restarted. What
the agent says beyond what is known here is let pass; what it does not know, or does not say, is
told as what it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asyncvarlink import VarlinkClientProtocol, connect_unix_varlink
from asyncvarlink.message import VarlinkMethodCall

from hostagent import __version__
from hostagent.agent.interface import NAME
from hostagent.errors import RefusedError
from hostagent.host.paths import Paths

PATIENCE_S = 10
"""How long an agent that does not answer (it restarts, its store is away) is waited for."""

_VARLINK = "org.varlink.service"
_UNKNOWN = {f"{_VARLINK}.{name}" for name in ("MethodNotFound", "InvalidParameter")}


class NoAgent(RefusedError):  # noqa: N818 -- the state it is
    """There is nobody at the socket."""


class Reply(dict[str, Any]):
    """What the agent of version ``by`` answered. A field that it does not know is an error."""

    def __init__(self, fields: dict[str, Any], by: str, control: str) -> None:
        super().__init__(fields)
        self._by, self._control = by, control

    def __missing__(self, name: str) -> Any:
        raise _of_another_age(f"does not say {name}", self._by, self._control)


class Proxy:
    """The agent's methods, as ``AgentInterface`` declares them; each returns a ``Reply``."""

    def __init__(self, protocol: VarlinkClientProtocol, control: str) -> None:
        self._protocol, self._control = protocol, control
        self.version = "?"

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Reply]]:
        async def ask(**parameters: Any) -> Reply:
            return await self.call(f"{NAME}.{method}", **parameters)

        return ask

    async def call(self, method: str, **parameters: Any) -> Reply:
        """Call a method by its whole name.

        Raises:
            RefusedError: the agent said no; its sentence is the message.
        """
        answer = await self._protocol.call(VarlinkMethodCall(method, parameters))
        assert answer is not None
        reply, _ = answer
        if reply.error in _UNKNOWN:
            raise _of_another_age(f"does not know this {method}", self.version, self._control)
        if reply.error is not None:
            told = reply.parameters.get("reason")
            raise RefusedError(str(told) if told else f"the agent answered {reply.error}")
        return Reply(reply.parameters, self.version, self._control)


def call(paths: Paths, use: Callable[[Proxy], Awaitable[Any]]) -> Any:
    """``ask``, for who has nothing else to do meanwhile."""
    return asyncio.run(ask(paths, use))


async def ask(paths: Paths, use: Callable[[Proxy], Awaitable[Any]]) -> Any:
    """``use`` gets the agent's proxy; its result is returned.

    Raises:
        NoAgent: no agent listens.
        RefusedError: the agent said no, or is of another age.
    """
    control = "systemctl --user" if paths.user else "systemctl"
    try:
        return await _ask(paths, use, control)
    except (FileNotFoundError, ConnectionError) as error:
        raise NoAgent("no agent is up on this host", f"{control} start hostagent") from error
    except TimeoutError as error:
        raise RefusedError(
            f"the agent has not answered for {PATIENCE_S} s", f"{control} status hostagent"
        ) from error


async def _ask(paths: Paths, use: Callable[[Proxy], Awaitable[Any]], control: str) -> Any:
    transport, protocol = await connect_unix_varlink(VarlinkClientProtocol, paths.socket)
    try:
        proxy = Proxy(protocol, control)
        told = await asyncio.wait_for(proxy.call(f"{_VARLINK}.GetInfo"), PATIENCE_S)
        proxy.version = told["version"]
        return await use(proxy)
    finally:
        transport.close()


def _of_another_age(what: str, version: str, control: str) -> RefusedError:
    return RefusedError(
        f"the agent (hostagent {version}) {what}: this is hostagent {__version__}",
        f"{control} restart hostagent",
    )

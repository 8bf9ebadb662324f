"""A slow wire: hands Ethernet frames from one interface to another, late, some of them never.

    python3 -I delay.py NEAR FAR DELAY_MS JITTER_MS LOSS_PERCENT SEED

What ``tc qdisc … netem`` does, for kernels built without it. Frames go in both directions, each
late by DELAY_MS +- JITTER_MS, in their order; of each hundred, LOSS_PERCENT are dropped. Ends when
its standard input does. Standard library only: it runs under the host's own Python.
"""

from __future__ import annotations

import random
import selectors
import socket
import sys
import time
from collections import deque

ETH_P_ALL = 3
SOL_PACKET, PACKET_VNET_HDR = 263, 15  # linux/if_packet.h
LONGEST = 10 + 65536 + 18  # a virtio header and what segmentation offload makes of frames
FULL = 4096  # frames on the way in one direction; a queue drops what comes then


class Direction:
    """Frames under way from one socket to the other, each with the time it arrives."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.under_way: deque[tuple[float, bytes]] = deque()

    def take(self, due: float) -> None:
        """Take one frame that arrives at ``due``, but not before those ahead of it."""
        frame, address = self.source.recvfrom(LONGEST)
        if address[2] != socket.PACKET_OUTGOING and len(self.under_way) < FULL:
            ahead = self.under_way[-1][0] if self.under_way else 0.0
            self.under_way.append((max(due, ahead), frame))

    def deliver(self, now: float) -> None:
        """Hand on what has arrived."""
        while self.under_way and self.under_way[0][0] <= now:
            frame = self.under_way.popleft()[1]
            try:
                self.target.send(frame)
            except OSError:
                continue  # the wire's end is down: frames get lost, as on a real one


def main() -> None:
    """Forward until standard input ends."""
    near, far, *figures = sys.argv[1:]
    delay, jitter, loss = (float(figure) for figure in figures[:3])
    chance = random.Random(figures[3])
    ends = [_open(near), _open(far)]
    directions = [Direction(*ends), Direction(*ends[::-1])]
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ, None)
        for direction in directions:
            selector.register(direction.source, selectors.EVENT_READ, direction)
        print("ready", flush=True)
        while True:
            heads = [d.under_way[0][0] for d in directions if d.under_way]
            wait = max(0.0, min(heads) - time.monotonic()) if heads else None
            for key, _ in selector.select(wait):
                if key.data is None:
                    return
                late = max(0.0, delay + chance.uniform(-jitter, jitter)) / 1000
                if chance.uniform(0, 100) < loss:
                    key.data.source.recv(LONGEST)
                else:
                    key.data.take(time.monotonic() + late)
            now = time.monotonic()
            for direction in directions:
                direction.deliver(now)


def _open(interface: str) -> socket.socket:
    """A raw socket; the virtio header keeps unfinished checksums and oversized frames valid."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    end.bind((interface, ETH_P_ALL))
    return end


if __name__ == "__main__":
    main()

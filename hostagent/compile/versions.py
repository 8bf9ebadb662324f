"""Which directives a version of systemd understands, from 252 (our floor) to 262.

Only what came or went in that range is listed: from ``systemd --dump-configuration-items`` of
252, 257 and 262, and the "Added in version" remarks of 262's manual pages. A directive that is in
no table is as old as 252, or unknown to 262 too, and is passed on for systemd to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

FLOOR = 252
NEWEST = 262

_NEW = {
    "Unit": """
        255 SurviveFinalKillSignal
        256 WantsMountsFor
    """,
    "Service": """
        253 LogFilterPatterns MemoryZSwapMax OpenFile ReloadSignal StartupMemoryHigh
            StartupMemoryLow StartupMemoryMax StartupMemorySwapMax StartupMemoryZSwapMax
            DefaultStartupMemoryLow
        254 DelegateSubgroup ExtensionImagePolicy FileDescriptorStorePreserve ImportCredential
            MemoryKSM MemoryPressureThresholdSec MemoryPressureWatch MountImagePolicy
            RestartMaxDelaySec RestartMode RestartSteps RootEphemeral RootImagePolicy
        255 CoredumpReceive NFTSet SetLoginEnvironment
        256 MemoryZSwapWriteback
        257 BindLogSockets ManagedOOMMemoryPressureDurationSec PrivatePIDs
        258 BPFDelegateAttachments BPFDelegateCommands BPFDelegateMaps BPFDelegatePrograms
            CacheDirectoryAccounting CacheDirectoryQuota DelegateNamespaces
            LogsDirectoryAccounting LogsDirectoryQuota PrivateBPF StateDirectoryAccounting
            StateDirectoryQuota
        259 ExecReloadPost UserNamespacePath
        260 BindNetworkInterface MemoryTHP RefreshOnReload RootMStack
        261 CPUPressureThresholdSec CPUPressureWatch CPUSetPartition IOPressureThresholdSec
            IOPressureWatch OOMRules
        262 LUOSession RestartRandomizedDelaySec
    """,
    "Timer": """
        257 DeferReactivation
        258 RandomizedOffsetSec
    """,
}

_GONE = {
    "Service": """
        258 BlockIOAccounting BlockIODeviceWeight BlockIOReadBandwidth BlockIOWeight
            BlockIOWriteBandwidth CPUAccounting CPUShares MemoryLimit StartupBlockIOWeight
            StartupCPUShares
    """,
}
"""They went with cgroup v1; 262 warns of each."""


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Something that the target's units do not do natively, and what is done instead."""

    job: str
    directive: str
    text: str


def told(notes: Iterable[Note]) -> Iterator[str]:
    """The notes for people; one that many jobs share is said once."""
    shared: dict[tuple[str, str], list[str]] = {}
    for note in notes:
        shared.setdefault((note.directive, note.text), []).append(note.job)
    for (directive, text), jobs in shared.items():
        names = ", ".join(jobs[:3]) + (f" and {len(jobs) - 3} more" if len(jobs) > 3 else "")
        yield f"{directive}: {text} ({names})"


def _parse(table: str) -> dict[str, int]:
    since: dict[str, int] = {}
    version = FLOOR
    for token in table.split():
        if token.isdigit():
            version = int(token)
        else:
            since[token] = version
    return since


_SINCE = {section: _parse(table) for section, table in _NEW.items()}
_UNTIL = {section: _parse(table) for section, table in _GONE.items()}


def since(section: str, directive: str) -> int:
    """The first version that understands the directive, 252 for all that are older."""
    return _SINCE.get(section, {}).get(directive, FLOOR)


def why_not(section: str, directive: str, systemd: int) -> str | None:
    """Why this version must not be given the directive; None when it may be."""
    if systemd < (first := since(section, directive)):
        return f"systemd {systemd} does not know {directive}=, it came with {first}"
    if systemd >= (gone := _UNTIL.get(section, {}).get(directive, NEWEST + 1)):
        return f"systemd {systemd} ignores {directive}=, it went with {gone}"
    return None

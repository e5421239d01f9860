"""What the server holds in memory: volumes, and sessions on them, each of one token, until their leases end."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from simcrop_core.errors import OutOfMemory, UnknownSession, UnknownVolume
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.session import Session
from simcrop_core.results import PassportFinding

# An uploaded volume that no session was opened on is kept this long.
_UNOPENED_S = 60.0


@dataclass(eq=False)
class Held:
    """One volume of one token, and the scans on it: at most one that must have lungs and one that need not.

    Attributes:
        owner: of whose token it is.
        content: id of voxels and affine.
        volume: as the passport left it.
        passport: what it found.
        expires: when it goes, if no session is on it.
        sessions: ids of those that are.
        busy: requests at work on it.
    """

    owner: str
    content: str
    volume: Volume
    passport: list[PassportFinding]
    expires: float
    scans: dict[bool, Session] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    busy: int = 0

    @property
    def memory_bytes(self) -> int:
        """Of the voxels, and of what was computed from them."""
        voxels = self.volume.voxels.nbytes
        return voxels + sum(scan.memory_bytes - scan.volume.voxels.nbytes for scan in self.scans.values())


@dataclass(eq=False)
class Lease:
    """One client's hold on a scan.

    Attributes:
        id: made up by the server, hard to guess.
        owner: of whose token it is.
        held: the volume.
        scan: read and checked, and encoded when it was asked first.
        lease_s: how long it lives without being used.
        expires: when it ends.
        busy: requests at work.
    """

    id: str
    owner: str
    held: Held
    scan: Session
    lease_s: float
    expires: float
    busy: int = 0


class Store:
    """All volumes and sessions. Used in one thread: the event loop's.

    Args:
        engine: that sessions ask.
        memory_limit: bytes of all volumes together.
        clock: seconds that only grow.
    """

    def __init__(self, engine: Engine, memory_limit: int, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._memory_limit = memory_limit
        self._clock = clock
        # Least recently used first.
        self._held: OrderedDict[tuple[str, str], Held] = OrderedDict()
        self._leases: dict[str, Lease] = {}
        self._reserved = 0

    @property
    def memory_bytes(self) -> int:
        """Of everything held, and of what is just arriving."""
        return self._reserved + sum(held.memory_bytes for held in self._held.values())

    @property
    def sessions(self) -> int:
        """How many there are."""
        return len(self._leases)

    def expect(self, size: int) -> None:
        """See whether bytes could be set aside for a volume that was announced; drops nothing.

        Raises:
            OutOfMemory: there is no room, and what is held is in use.
        """
        in_use = self._reserved + sum(held.memory_bytes for held in self._held.values() if held.busy)
        if in_use + size > self._memory_limit:
            raise OutOfMemory(
                "The server has no memory left for this volume.",
                hint="Close other sessions, crop the volume, or start the server with a larger --memory-gb.",
            )

    def reserve(self, size: int) -> None:
        """Set bytes aside for a volume that arrives; unused volumes make room. `release` them in the end.

        Raises:
            OutOfMemory: there is no room, and what is held is in use.
        """
        self.expect(size)
        idle = [key for key, held in self._held.items() if not held.busy]
        while self.memory_bytes + size > self._memory_limit and idle:
            self._drop(idle.pop(0))
        self._reserved += size

    def release(self, size: int) -> None:
        """Give reserved bytes back: the volume is held now, or was given up."""
        self._reserved -= size

    def add(self, owner: str, content: str, volume: Volume, passport: list[PassportFinding]) -> None:
        """Hold a checked volume until a session is opened on it, or a minute."""
        key = (owner, content)
        if key not in self._held:
            self._held[key] = Held(owner, content, volume, passport, self._clock() + _UNOPENED_S)
        self._held[key].expires = self._clock() + _UNOPENED_S
        self._held.move_to_end(key)

    def open(self, owner: str, content: str, *, force: bool, lease_s: float) -> Lease:
        """A new session on a volume of the same owner.

        Raises:
            UnknownVolume: that owner has no volume of that content.
        """
        held = self._held.get((owner, content))
        if held is None:
            raise UnknownVolume("The server does not hold this volume.", hint="Send the volume first.")
        scan = held.scans.setdefault(force, Session(held.volume, held.passport, self._engine, force=force))
        lease = Lease(secrets.token_hex(16), owner, held, scan, lease_s, 0.0)
        held.sessions.add(lease.id)
        self._leases[lease.id] = lease
        self.touch(lease)
        return lease

    def lease(self, owner: str, session_id: str) -> Lease:
        """The session of that id, its lease renewed.

        Raises:
            UnknownSession: that owner has none.
        """
        lease = self._leases.get(session_id)
        if lease is None or lease.owner != owner:
            raise UnknownSession(
                "The session is gone: its lease ended, the server needed its memory, or was restarted.",
                hint="Open the scan again.",
            )
        self.touch(lease)
        return lease

    def touch(self, lease: Lease) -> None:
        """Renew a lease, and count its volume as just used."""
        lease.expires = self._clock() + lease.lease_s
        if (lease.owner, lease.held.content) in self._held:
            self._held.move_to_end((lease.owner, lease.held.content))

    def close(self, lease: Lease) -> None:
        """End a session; the volume goes with the last one."""
        self._leases.pop(lease.id, None)
        lease.held.sessions.discard(lease.id)
        if not lease.held.sessions:
            self._held.pop((lease.owner, lease.held.content), None)

    def sweep(self) -> None:
        """End every session whose lease is over and that does nothing, and drop volumes that nobody opened."""
        now = self._clock()
        for lease in list(self._leases.values()):
            if lease.expires < now and not lease.busy:
                self.close(lease)
        for key, held in list(self._held.items()):
            if not held.sessions and held.expires < now:
                self._drop(key)
        self._trim()

    def _trim(self) -> None:
        """Drop the least recently used while frames and features made the whole too large."""
        for key in [key for key, held in self._held.items() if not held.busy]:
            if self.memory_bytes <= self._memory_limit:
                return
            self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        held = self._held.pop(key)
        for session_id in held.sessions:
            self._leases.pop(session_id, None)

"""Prometheus metrics of the spool and of leases: whether all that was dispatched reaches the database, and how often
requests have to wait for it."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from tenants.refills import Refills
from tenants.spooled import SpooledLedger

BYTES = Gauge("proxy_spool_bytes", "Bytes of spools that the drain has not read.", multiprocess_mode="max")
OLDEST = Gauge("proxy_spool_oldest_seconds", "How long the oldest usage row has waited.", multiprocess_mode="max")
REFUSING = Gauge(
    "proxy_spool_refusing",
    "Workers whose spool takes no request now: full, or the disk fails.",
    multiprocess_mode="livesum",
)
LOST = Gauge("proxy_spool_lost_rows", "Usage rows that could be written nowhere.", multiprocess_mode="sum")
FAILURES = Gauge("proxy_drain_failures", "Failures of the drain, in a row.", multiprocess_mode="max")
LEASES = Gauge("proxy_leases", "Slices of limits and budgets that workers hold.", multiprocess_mode="livesum")
WAITS = Counter("proxy_lease_waits_total", "Requests that waited for a slice of a limit or budget.")
EXCHANGES = Counter("proxy_lease_exchanges_total", "Round trips to the database for slices, by outcome.", ("outcome",))


class MoneyMetrics:
    """What one process has told; call ``tell`` every second."""

    def __init__(self) -> None:
        self._waits = self._exchanges = self._failures = 0

    def tell(self, ledger: SpooledLedger, refills: Refills | None) -> None:
        status = ledger.status
        BYTES.set(status.bytes)
        OLDEST.set(status.oldest_seconds)
        FAILURES.set(status.failures)
        REFUSING.set(bool(ledger.refusing))
        LOST.set(ledger.spool.lost if ledger.spool is not None else 0)
        if refills is not None:
            self._tell_leases(refills)

    def _tell_leases(self, refills: Refills) -> None:
        LEASES.set(len(refills.wallet))
        WAITS.inc(refills.waits - self._waits)
        EXCHANGES.labels("failed").inc(refills.failures - self._failures)
        done = refills.exchanges - refills.failures
        EXCHANGES.labels("ok").inc(max(0, done - self._exchanges))
        self._waits, self._failures, self._exchanges = refills.waits, refills.failures, max(done, self._exchanges)

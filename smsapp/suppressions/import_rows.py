"""Import a suppression list row by row, however long it is."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

from smsapp.runtime import Runtime
from smsapp.suppressions.record import record_opt_outs
from smsapp.suppressions.rows import RowFault, evidence_of
from smsapp.suppressions.rules import OptOutEvidence
from smsapp.uploads.rows import RawRow

MAX_FAULTS_TOLD = 100
_BATCH = 250


@dataclass(slots=True)
class Imported:
    """The result of an import: `added` rows were new, `known` ones suppressed already, `faulty` ones not taken.

    `faults` says why, of the first hundred: a file of another kind would get an answer larger than itself.
    """

    rows: int = 0
    added: int = 0
    known: int = 0
    faulty: int = 0
    faults: list[RowFault] = field(default_factory=list)


def import_suppressions(rt: Runtime, rows: Iterable[RawRow], *, api_key_id: UUID | None = None) -> Imported:
    """Suppress the recipients in the rows; a faulty row does not stop the others.

    Each batch is one transaction, so that no other writer waits for the whole import. Batches committed before a
    failure stay, and the import can be repeated: it is idempotent.
    """
    result = Imported()
    for batch in _batches(rows):
        evidences = _read(rt, batch, result, api_key_id)
        with rt.transaction() as tx:
            recorded = record_opt_outs(rt, tx, evidences)
        added = sum(bool(each.changed) for each in recorded)
        result.added += added
        result.known += len(recorded) - added
    return result


def _read(
    rt: Runtime, batch: Sequence[RawRow], result: Imported, api_key_id: UUID | None
) -> list[OptOutEvidence]:
    evidences = []
    for row in batch:
        result.rows += 1
        try:
            evidences.append(evidence_of(row, at=rt.clock(), api_key_id=api_key_id))
        except RowFault as fault:
            result.faulty += 1
            if len(result.faults) < MAX_FAULTS_TOLD:
                result.faults.append(fault)
    return evidences


def _batches(rows: Iterable[RawRow]) -> Iterator[list[RawRow]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, _BATCH)):
        yield batch

"""Each engine does what the contract's plain model in memory does, whatever the order."""

from __future__ import annotations

from hypothesis.stateful import run_state_machine_as_test

from hostagent.store.open import open_store
from tests.contract.store import stateful
from tests.contract.store.conftest import Engine


def test_any_order_of_calls_is_answered_as_the_contract_says(engine: Engine) -> None:
    """Claims, ends, settlements, applies, renames, prunes: the same answers, rows and cursors."""

    class Machine(stateful.Machine):
        """On this engine."""

        open_new = staticmethod(lambda place: open_store(engine.url(place)))

    run_state_machine_as_test(Machine, settings=stateful.QUICK)

"""Everything that one running simulator holds, passed first to every handler."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from simulator.callback_url import parse_target
from simulator.callbacks import Poster
from simulator.chance import random_course, rng_for
from simulator.content import Form
from simulator.course import Course
from simulator.drafts import MAGIC_SENDER, Draft, parse_draft
from simulator.errors import TwilioError
from simulator.ledger import Ledger
from simulator.lifecycle import Lifecycle
from simulator.messages import Message, MessageStore
from simulator.opt_outs import OPTED_OUT, OptOuts
from simulator.options import Behaviour, Settings
from simulator.outcomes import DEFAULT, outcome_for
from simulator.plan import Plan, fixed_plan, make_plan, single_step


@dataclass(frozen=True, slots=True)
class Fate:
    """The decision about one create; `plan` is meaningless when the course refuses it."""

    name: str
    course: Course
    plan: Plan


@dataclass(slots=True)
class Simulator:
    """One simulated account."""

    settings: Settings
    behaviour: Behaviour
    store: MessageStore
    ledger: Ledger
    opt_outs: OptOuts
    poster: Poster
    lifecycle: Lifecycle

    def read_draft(self, form: Form) -> Draft:
        """Return the message that a create asks for.

        Raises:
            TwilioError: Twilio would refuse it, for example since the recipient has opted out of this sender.
        """
        draft = parse_draft(
            form,
            self.settings.phone_numbers,
            now=datetime.now(UTC),
            schedule_min=timedelta(seconds=self.settings.schedule_min_s),
        )
        if self._is_blocked(draft) and not self.behaviour.late_opt_outs:
            raise TwilioError(OPTED_OUT)
        return draft

    def decide(self, draft: Draft) -> Fate:
        """Decide the course of one create: by the table, or by chance where that is configured."""
        if self._is_blocked(draft):
            return Fate("opted-out", Course(), single_step("failed", OPTED_OUT))
        outcome, rng = outcome_for(draft.to), None
        name, course = outcome.name, outcome.course
        if outcome is DEFAULT and self.behaviour.is_random:
            rng = rng_for(self.behaviour, draft, self.store.count_attempt(draft))
            name, course = "random", random_course(self.behaviour, rng)
        elif (
            course.refusal and course.refusal.times and self.store.count_attempt(draft) > course.refusal.times
        ):
            course = Course()
        via_service = draft.messaging_service_sid is not None
        if rng is None:
            return Fate(name, course, fixed_plan(course, self.behaviour, via_service=via_service))
        return Fate(name, course, make_plan(course, self.behaviour, rng, via_service=via_service))

    def accept(self, draft: Draft, fate: Fate) -> Message:
        """Add a message to the account, in its initial status."""
        message = self.store.accept(
            draft,
            sender=self._sender_of(draft),
            outcome=fate.name,
            target=parse_target(draft.status_callback) if draft.status_callback else None,
            now=time.time(),
        )
        message.listed = fate.course.listed
        message.price_after_s = self.behaviour.price_ms / 1000
        return message

    def reset(self) -> None:
        """Reset everything but the options."""
        self.lifecycle.stop()
        self.store.clear()
        self.opt_outs.clear()
        self.ledger = Ledger()

    def _is_blocked(self, draft: Draft) -> bool:
        return self.opt_outs.block(draft.to, self._sender_of(draft), draft.messaging_service_sid)

    def _sender_of(self, draft: Draft) -> str:
        """Return the sender; a Messaging Service always picks the account's first one."""
        return draft.from_ or next(iter(self.settings.phone_numbers), MAGIC_SENDER)

"""What the resources of Neutron have in common: stored as what a GET shows, with times and a revision number.

A resource decides what a create, a change and a delete do; `service` has read the body by its table, asked the policy
and the quota before.
"""

import random
from collections.abc import Callable
from typing import ClassVar

from kuryr.simulator.identifiers import Identifiers, neutron_time
from kuryr.simulator.neutron.attributes import Attributes, boolean
from kuryr.simulator.neutron.caller import Caller
from kuryr.simulator.neutron.collection import Matches
from kuryr.simulator.refusals import NOT_FOUND, Body, Refusal, bad_request, not_simulated

_FILTERS = frozenset(("revision_number", "created_at", "updated_at"))
"""Those of every resource, beside its attributes."""


class Surroundings:
    """Chance and time, as they were given."""

    def __init__(self, identifiers: Identifiers, chance: random.Random, now: Callable[[], float]) -> None:
        self.identifiers = identifiers
        self.chance = chance
        self.now = now


class Resource:
    """All of one kind. `objects` are by id and hold what is shown."""

    name: ClassVar[str]
    collection: ClassVar[str]
    attributes: ClassVar[Attributes]
    first_revision: ClassVar[int] = 0
    tagged: ClassVar[bool] = True

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.objects: dict[str, Body] = {}
        self.filters: dict[str, Matches] = {}
        self.counts: dict[str, int] = {}  # per project

    @property
    def plural(self) -> str:
        """The key of lists."""
        return self.collection.replace("-", "_")

    def find(self, caller: Caller, object_id: str) -> Body:
        """Raises `Refusal` where there is none, or none that the caller sees."""
        found = self.objects.get(object_id)
        if found is None:
            raise self.not_found(object_id)
        if not self.sees(caller, found):
            # the policy hides from a service what the database would show it, and says it in other words
            raise NOT_FOUND if caller.service else self.not_found(object_id)
        return found

    def not_found(self, object_id: str) -> Refusal:
        words = self.name.replace("_", " ").capitalize()
        kind = "".join(part.capitalize() for part in self.name.split("_"))
        return Refusal(404, f"{kind}NotFound", f"{words} {object_id} could not be found.")

    def sees(self, caller: Caller, one: Body) -> bool:
        return caller.admin or caller.owns(one)

    def seen(self, caller: Caller) -> list[Body]:
        """All that the caller sees."""
        return [one for one in self.objects.values() if self.sees(caller, one)]

    def shown(self, caller: Caller, one: Body) -> Body:
        """What of it the caller may see."""
        if caller.admin:
            return one
        hidden = [name for name, attribute in self.attributes.items() if attribute.operator]
        return {name: value for name, value in one.items() if name not in hidden} if hidden else one

    def makes_for_others(self, caller: Caller) -> bool:
        """The policy lets the caller make one that belongs to another project."""
        return caller.admin

    def check_filters(self, filters: dict[str, list[str]]) -> None:
        """Raises `Refusal` for one that there is not."""
        unknown = [name for name in filters if name not in self.attributes and name not in _FILTERS]
        if "changed_since" in unknown:
            raise not_simulated("the filter changed_since")
        if unknown:
            raise bad_request(f"{unknown} is invalid attribute for filtering")
        for name, values in filters.items():
            if name in self.attributes and self.attributes[name].convert is boolean:
                for value in values:
                    boolean(name, value)

    def authorise_create(self, caller: Caller, wanted: Body) -> None:
        """Raises `Refusal`, by the policy."""

    def authorise_update(self, caller: Caller, one: Body, changes: Body) -> None:
        """Raises `Refusal`, by the policy."""

    def create(self, caller: Caller, wanted: Body) -> Body:
        raise NotImplementedError

    def update(self, caller: Caller, one: Body, changes: Body) -> None:
        """Changes `one` in place, or raises before anything is changed."""
        one.update(changes)
        self.touch(one)

    def delete(self, caller: Caller, one: Body) -> None:
        self.remove(one)

    def forget(self, one: Body) -> None:
        """It is gone, whatever would be refused to a user."""
        self.remove(one)

    def check_together(self, wanted: list[Body]) -> None:
        """What of one create is in the way of another of the same request. Raises `Refusal`."""

    def deletes(self, caller: Caller, one: Body) -> bool:
        """The policy lets the caller delete what it sees."""
        return caller.admin or caller.owns(one)

    def keep(self, one: Body) -> Body:
        """Stores a new one, with what every one has at its end."""
        now = neutron_time(self.surroundings.now())
        one.update(tags=[], created_at=now, updated_at=now, revision_number=self.first_revision)
        one["tenant_id"] = one["project_id"]
        self.objects[one["id"]] = one
        self.counts[one["project_id"]] = self.counts.get(one["project_id"], 0) + 1
        return one

    def remove(self, one: Body) -> None:
        del self.objects[one["id"]]
        self.counts[one["project_id"]] -= 1

    def touch(self, one: Body) -> None:
        one["revision_number"] += 1
        one["updated_at"] = neutron_time(self.surroundings.now())

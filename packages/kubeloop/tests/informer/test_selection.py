import pytest

from kubeloop.informer.selection import Selection
from kubeloop.model.base import ObjectKey

KEY = ObjectKey("default", "a")


@pytest.mark.parametrize(
    ("selector", "held"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=back", True),
        ("app=db", False),
        ("app!=web", False),
        ("zone!=x", True),
        ("app in (db, web)", True),
        ("app in (db),tier", False),
        ("app notin (db)", True),
        ("zone notin (x,y)", True),
        ("tier", True),
        ("zone", False),
        ("!zone", True),
        ("! tier", False),
        ("app.kubernetes.io/name=x", True),
        ("app.kubernetes.io/name in (x),app=db", False),
        ("weight>3", None),
        ("weight>3,app=db", False),
    ],
)
def test_label_selectors_are_evaluated_as_the_server_does_where_they_are_simple(
    selector: str, held: bool | None
) -> None:
    labels = {"app": "web", "tier": "back", "app.kubernetes.io/name": "x"}
    assert Selection(label_selector=selector).holds(KEY, labels) is held


def test_without_the_labels_nothing_is_said() -> None:
    assert Selection(label_selector="app=web").holds(KEY, None) is None


@pytest.mark.parametrize(
    ("selector", "held"),
    [
        ("metadata.name=a", True),
        ("metadata.name=b", False),
        ("metadata.name!=a", False),
        ("metadata.namespace=default,metadata.name==a", True),
        ("spec.node=n", None),
        ("spec.node=n,metadata.name=b", False),
    ],
)
def test_of_the_fields_only_the_key_is_known(selector: str, held: bool | None) -> None:
    assert Selection(field_selector=selector).holds(KEY, {}) is held


def test_one_object_is_read_within_the_selection() -> None:
    assert Selection("", "app=web", "spec.node=n").one(KEY) == Selection(
        "default", "app=web", "spec.node=n,metadata.name=a"
    )

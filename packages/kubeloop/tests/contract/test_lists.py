"""Lists: pages, versions, selectors."""

from kubeloop.model.core import Namespace

from .api import Api, config_map, gadget
from .kinds import ConfigMap, Gadget


async def fill(api: Api, count: int) -> None:
    for number in range(count):
        await api.made(gadget(f"g{number}"))


async def test_pages_together_are_the_state_of_the_first(api: Api) -> None:
    await fill(api, 5)
    first = await api.get(api.path(), limit=2)
    await api.made(gadget("g9"))
    await api.delete("g3")
    names = [item["metadata"]["name"] for item in first.body["items"]]
    page = first
    while token := page.meta.get("continue"):
        page = await api.get(api.path(), limit=2, continue_=token)
        assert page.version == first.version
        names += [item["metadata"]["name"] for item in page.body["items"]]
    assert names == ["g0", "g1", "g2", "g3", "g4"]
    assert first.meta["remainingItemCount"] == 3


async def test_the_last_page_has_neither_token_nor_rest(api: Api) -> None:
    await fill(api, 2)
    page = await api.get(api.path(), limit=2)
    assert not page.meta.get("continue")
    assert "remainingItemCount" not in page.meta


async def test_with_a_selector_the_rest_is_not_counted(api: Api) -> None:
    for number in range(3):
        await api.made(gadget(f"g{number}", meta={"labels": {"x": "y"}}))
    page = await api.get(api.path(), limit=1, labelSelector="x=y")
    assert "continue" in page.meta
    assert "remainingItemCount" not in page.meta


async def test_a_token_that_has_expired_is_gone_and_offers_an_inconsistent_rest(api: Api) -> None:
    await fill(api, 3)
    first = await api.get(api.path(), limit=1)
    await api.made(gadget("g9"))
    await api.server.compact()
    refused = await api.get(api.path(), limit=1, continue_=first.meta["continue"])
    assert (refused.status, refused.body["reason"]) == (410, "Expired")
    rest = await api.get(api.path(), continue_=refused.meta["continue"])
    assert [item["metadata"]["name"] for item in rest.body["items"]] == ["g1", "g2", "g9"]


async def test_a_token_that_is_none_is_a_bad_request(api: Api) -> None:
    refused = await api.get(api.path(), limit=1, continue_="nonsense")
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")


async def test_a_list_of_whatever_is_at_hand_comes_in_one_piece(api: Api) -> None:
    await fill(api, 3)
    await api.get(api.path())  # a consistent read: the cache has them from here on
    for match in ({}, {"resourceVersionMatch": "NotOlderThan"}):
        page = await api.get(api.path(), limit=1, resourceVersion=0, **match)
        assert (len(page.body["items"]), page.meta.get("continue")) == (3, "")


async def test_a_list_not_older_than_a_version_comes_in_pages(api: Api) -> None:
    await fill(api, 3)
    version = (await api.get(api.path())).version
    for match in ({}, {"resourceVersionMatch": "NotOlderThan"}, {"resourceVersionMatch": "Exact"}):
        page = await api.get(api.path(), limit=1, resourceVersion=version, **match)
        assert (len(page.body["items"]), page.meta["remainingItemCount"]) == (1, 2)


async def test_a_token_says_the_version_so_that_nobody_else_may(api: Api) -> None:
    await fill(api, 2)
    first = await api.get(api.path(), limit=1)
    refused = await api.get(api.path(), continue_=first.meta["continue"], resourceVersion=first.version)
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")
    refused = await api.get(api.path(), continue_=first.meta["continue"], resourceVersionMatch="Exact")
    assert (refused.status, refused.causes) == (422, [("FieldValueForbidden", "resourceVersionMatch")])


async def test_a_version_that_is_none_is_refused(api: Api) -> None:
    assert (await api.get(api.path(), resourceVersion="none")).status == 400


async def test_a_list_without_a_version_has_every_write_before_it(api: Api) -> None:
    made = await api.made(gadget("a"))
    listed = await api.get(api.path())
    assert [item["metadata"]["name"] for item in listed.body["items"]] == ["a"]
    assert listed.version >= made.version


async def test_a_list_not_older_than_a_write_has_it(api: Api) -> None:
    made = await api.made(gadget("a"))
    options = {"resourceVersion": made.version, "resourceVersionMatch": "NotOlderThan"}
    assert await api.names(api.path(), **options) == ["a"]


async def test_a_list_at_an_exact_version_is_the_state_of_then(api: Api) -> None:
    made = await api.made(gadget("a"))
    await api.made(gadget("b"))
    options = {"resourceVersion": made.version, "resourceVersionMatch": "Exact"}
    assert await api.names(api.path(), **options) == ["a"]
    assert (await api.get(api.path(), **options)).version == made.version


async def test_a_version_of_the_future_is_too_large_and_worth_a_retry(api: Api) -> None:
    future = (await api.get(api.path())).version + 1000
    refused = await api.get(api.path(), resourceVersion=future, resourceVersionMatch="NotOlderThan")
    assert (refused.status, refused.body["reason"]) == (504, "Timeout")
    assert refused.causes == [("ResourceVersionTooLarge", "")]
    assert refused.body["details"]["retryAfterSeconds"] == 1


async def test_a_version_match_without_a_version_is_refused(api: Api) -> None:
    refused = await api.get(api.path(), resourceVersionMatch="Exact")
    assert (refused.status, refused.causes) == (422, [("FieldValueForbidden", "resourceVersionMatch")])


async def test_label_selectors_select(api: Api) -> None:
    for name, labels in (("a", {"team": "red"}), ("b", {"team": "blue", "old": ""}), ("c", {})):
        await api.made(gadget(name, meta={"labels": labels}))
    for selector, names in {
        "team=red": ["a"],
        "team==red": ["a"],
        "team!=red": ["b", "c"],
        "team in (red,blue)": ["a", "b"],
        "team notin (red)": ["b", "c"],
        "team": ["a", "b"],
        "!team": ["c"],
        "team,!old": ["a"],
    }.items():
        assert await api.names(api.path(), labelSelector=selector) == names, selector


async def test_a_label_selector_that_does_not_parse_is_a_bad_request(api: Api) -> None:
    assert (await api.get(api.path(), labelSelector="team in red")).status == 400


async def test_field_selectors_know_name_namespace_and_the_selectable_fields(api: Api) -> None:
    await api.made(gadget("a", spec={"node": "n1"}))
    await api.made(gadget("b"))
    for selector, names in {
        "metadata.name=a": ["a"],
        "metadata.name!=a": ["b"],
        f"metadata.namespace={api.namespace}": ["a", "b"],
        "spec.node=n1": ["a"],
        "spec.node=": ["b"],
        "spec.node!=n1": ["b"],
        "spec.node=n1,metadata.name=b": [],
    }.items():
        assert await api.names(api.path(), fieldSelector=selector) == names, selector


async def test_a_field_that_is_not_selectable_is_a_bad_request(api: Api) -> None:
    refused = await api.get(api.path(), fieldSelector="spec.colour=red")
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")
    assert "field label not supported" in refused.body["message"]


async def test_a_list_over_all_namespaces_is_sorted_by_the_text_namespace_slash_name(api: Api) -> None:
    other = await api.elsewhere()
    label = {"labels": {"test": api.namespace}}
    for where, name in ((other, "a"), (api, "b"), (api, "a")):
        await where.made(gadget(name, meta=label))
    listed = await api.get(Gadget.resource.path(), labelSelector=f"test={api.namespace}")
    found = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in listed.body["items"]]
    # "-" comes before "/": the namespace with the longer name is first
    assert found == [(other.namespace, "a"), (api.namespace, "a"), (api.namespace, "b")]


async def test_items_of_core_kinds_do_not_repeat_their_kind_those_of_custom_kinds_do(api: Api) -> None:
    await api.made(config_map("a"), ConfigMap)
    await api.made(gadget("a"))
    core = await api.get(api.path(ConfigMap))
    custom = await api.get(api.path())
    assert (core.body["kind"], "kind" in core.body["items"][0]) == ("ConfigMapList", False)
    assert (custom.body["kind"], custom.body["items"][0]["kind"]) == ("GadgetList", "Gadget")


async def test_a_namespace_is_labelled_with_its_name(api: Api) -> None:
    found = await api.names(Namespace.resource.path(), labelSelector=f"kubernetes.io/metadata.name={api.namespace}")
    assert found == [api.namespace]

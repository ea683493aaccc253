"""Keystone: who one is, how long a token is good, and what it says."""

from datetime import UTC, datetime

from .bed import Bed, password_of

UNAUTHORISED = {
    "error": {
        "code": 401,
        "message": "The request you have made requires authentication.",
        "title": "Unauthorized",
    }
}


async def test_a_token_says_who_one_is_in_which_project_with_which_roles_until_when(bed: Bed) -> None:
    user, project = bed.place.users["kuryr"]
    reply = await bed.authenticate(password_of(user, bed.place.password), project)
    assert reply.status == 201
    token = reply.body["token"]
    assert (token["user"]["name"], token["project"]["name"], token["methods"]) == (user, project, ["password"])
    assert {role["name"] for role in token["roles"]} == {"member", "reader", "service"}
    expires = datetime.fromisoformat(token["expires_at"])
    assert 3500 < (expires - datetime.now(UTC)).total_seconds() <= 3600
    urls = {one["url"] for service in token["catalog"] if service["type"] == "network" for one in service["endpoints"]}
    assert urls == {bed.place.network}
    shown = await bed.send(
        "GET",
        f"{bed.place.identity}/auth/tokens",
        None,
        {"X-Auth-Token": reply.headers["x-subject-token"], "X-Subject-Token": reply.headers["x-subject-token"]},
    )
    assert shown.body["token"]["expires_at"] == token["expires_at"]


async def test_who_gives_a_wrong_password_or_has_no_role_there_gets_no_token(bed: Bed) -> None:
    user, project = bed.place.users["kuryr"]
    for identity, where in (
        (password_of(user, "wrong"), project),
        (password_of("nobody-here", bed.place.password), project),
        (password_of(user, bed.place.password), "nowhere"),
        (password_of(user, bed.place.password), bed.place.users["stranger"][1]),
    ):
        reply = await bed.authenticate(identity, where)
        assert (reply.status, reply.body) == (401, UNAUTHORISED)


async def test_a_revoked_token_is_good_no_more(bed: Bed) -> None:
    user, project = bed.place.users["kuryr"]
    secret = (await bed.authenticate(password_of(user, bed.place.password), project)).headers["x-subject-token"]
    url, own = f"{bed.place.identity}/auth/tokens", {"X-Auth-Token": secret, "X-Subject-Token": secret}
    assert (await bed.send("DELETE", url, None, own)).status == 204
    reply = await bed.send("GET", url, None, own)
    assert (reply.status, reply.body) == (401, UNAUTHORISED)
    assert (await bed.ask("", "GET", "/v2.0/networks", X_Auth_Token=secret)).status == 401


async def test_neutron_remembers_for_a_while_that_a_token_was_good(bed: Bed) -> None:
    user, project = bed.place.users["kuryr"]
    secret = (await bed.authenticate(password_of(user, bed.place.password), project)).headers["x-subject-token"]
    url, own = f"{bed.place.identity}/auth/tokens", {"X-Auth-Token": secret, "X-Subject-Token": secret}
    assert (await bed.ask("", "GET", "/v2.0/networks", X_Auth_Token=secret)).status == 200
    assert (await bed.send("DELETE", url, None, own)).status == 204
    assert (await bed.ask("", "GET", "/v2.0/networks", X_Auth_Token=secret)).status == 200


async def test_an_application_credential_is_a_user_in_one_project_until_it_is_deleted(bed: Bed) -> None:
    token = await bed.token("kuryr")
    me = await bed.send(
        "GET", f"{bed.place.identity}/auth/tokens", None, {"X-Auth-Token": token, "X-Subject-Token": token}
    )
    url = f"{bed.place.identity}/users/{me.body['token']['user']['id']}/application_credentials"
    wanted = {"application_credential": {"name": "contract"}}
    made = await bed.send("POST", url, wanted, {"X-Auth-Token": token})
    assert made.status == 201
    credential = made.body["application_credential"]

    def identity(secret: str) -> dict[str, object]:
        facts = {"id": credential["id"], "secret": secret}
        return {"methods": ["application_credential"], "application_credential": facts}

    reply = await bed.authenticate(identity(credential["secret"]))
    assert reply.status == 201
    assert reply.body["token"]["project"]["id"] == await bed.project("kuryr")
    assert reply.body["token"]["methods"] == ["application_credential"]
    secret = reply.headers["x-subject-token"]
    assert (await bed.ask("", "GET", "/v2.0/networks", X_Auth_Token=secret)).status == 200
    assert (await bed.authenticate(identity("wrong"))).status == 401
    assert (await bed.send("DELETE", f"{url}/{credential['id']}", None, {"X-Auth-Token": token})).status == 204
    reply = await bed.authenticate(identity(credential["secret"]))
    text = f"Could not find Application Credential: {credential['id']}."
    assert reply.body == {"error": {"code": 404, "message": text, "title": "Not Found"}}


async def test_projects_are_listed_to_an_administrator_and_to_each_its_own(bed: Bed) -> None:
    url = f"{bed.place.identity}/projects"
    named = await bed.send("GET", f"{url}?name=kubernetes", None, {"X-Auth-Token": await bed.token("admin")})
    assert [one["id"] for one in named.body["projects"]] == [await bed.project("kuryr")]
    reply = await bed.send("GET", url, None, {"X-Auth-Token": await bed.token("kuryr")})
    text = "You are not authorized to perform the requested action: identity:list_projects."
    assert reply.body == {"error": {"code": 403, "message": text, "title": "Forbidden"}}
    own = await bed.send("GET", f"{bed.place.identity}/auth/projects", None, {"X-Auth-Token": await bed.token("kuryr")})
    assert [one["name"] for one in own.body["projects"]] == ["kubernetes"]


async def test_versions_are_told_to_anybody(bed: Bed) -> None:
    reply = await bed.send("GET", bed.place.identity, None, {})
    assert (reply.status, reply.body["version"]["id"]) == (200, "v3.14")
    reply = await bed.send("GET", f"{bed.place.network}/", None, {})
    link = {"rel": "self", "href": f"{bed.place.network}/v2.0/"}
    assert reply.body == {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}

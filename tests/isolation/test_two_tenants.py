"""Two tenants with disjoint documents, asked the same questions: neither ever sees the other's."""

from __future__ import annotations

import pytest

from support.stack import Stack

OURS = {"title": "Olive oil", "text": "Extra virgin olive oil costs 8.90 euros at the Riverside shop."}
THEIRS = {"title": "Iron", "text": "One hundred grams of cooked lentils contain 3.3 milligrams of iron."}
QUESTIONS = [
    "What does olive oil cost at the Riverside shop?",
    "How much iron is in cooked lentils?",
    "Riverside lentils olive iron",
]


@pytest.fixture(scope="module")
def tenants(stack: Stack) -> tuple[str, str]:
    names = stack.new_tenant("ours"), stack.new_tenant("theirs")
    for name, document in zip(names, (OURS, THEIRS), strict=True):
        with stack.client(name) as client:
            client.post(f"/tenant/{name}/documents", json={**document, "document_id": "the-same-id"}).raise_for_status()
    return names


@pytest.mark.parametrize("query", QUESTIONS)
def test_the_same_question_finds_only_ones_own(stack: Stack, tenants: tuple[str, str], query: str) -> None:
    for name, own, foreign in zip(tenants, (OURS, THEIRS), (THEIRS, OURS), strict=True):
        with stack.client(name) as client:
            answer = client.post("/chat", json={"query": query}).json()
            passages = client.post(f"/tenant/{name}/search", json={"query": query, "k": 50}).json()["passages"]
        assert [passage["text"] for passage in passages] == [own["text"]]
        assert all(citation["title"] == own["title"] for citation in answer["citations"])
        assert foreign["text"] not in str(answer)
        prompt = str(stack.last_engine_body()["messages"])
        assert foreign["text"] not in prompt


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tenant/{other}/config"),
        ("PUT", "/tenant/{other}/config"),
        ("GET", "/tenant/{other}/documents"),
        ("POST", "/tenant/{other}/documents"),
        ("GET", "/tenant/{other}/documents/the-same-id"),
        ("DELETE", "/tenant/{other}/documents/the-same-id"),
        ("POST", "/tenant/{other}/search"),
        ("GET", "/tenant/{own}/../{other}/config"),
        ("GET", "/tenant/{own}%2f..%2f{other}/config"),
    ],
)
def test_anothers_resource_is_the_same_404_as_none(
    stack: Stack, tenants: tuple[str, str], method: str, path: str
) -> None:
    own, other = tenants
    body = {"query": "x", "title": "x", "text": "x"} if method in {"POST", "PUT"} else None
    with stack.client(own) as client:
        theirs = client.request(method, path.format(own=own, other=other), json=body)
        nobody = client.request(method, path.format(own=own, other="nobody-here"), json=body)
    assert theirs.status_code in {404, 422}
    assert theirs.status_code == nobody.status_code
    assert theirs.json()["error"]["message"] == nobody.json()["error"]["message"]


def test_a_deleted_document_is_gone_for_its_owner_and_the_other_keeps_his(stack: Stack) -> None:
    first, second = stack.new_tenant(), stack.new_tenant()
    for name in (first, second):
        with stack.client(name) as client:
            client.post(f"/tenant/{name}/documents", json={**OURS, "document_id": "d"}).raise_for_status()
    with stack.client(first) as client:
        assert client.delete(f"/tenant/{first}/documents/d").status_code == 204
        assert client.delete(f"/tenant/{first}/documents/d").status_code == 404
        assert client.post(f"/tenant/{first}/search", json={"query": "olive oil"}).json()["passages"] == []
    with stack.client(second) as client:
        assert len(client.post(f"/tenant/{second}/search", json={"query": "olive oil"}).json()["passages"]) == 1

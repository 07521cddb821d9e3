"""Each role can do what its service does and nothing else: Terraform makes the roles in moto's IAM, from which their
policies are read back and asked (support/iam.py says how much of IAM's language is understood)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from support.aws_calls import FETCH_MODEL, NEEDS, SOURCES, called, files_that_use_aws
from support.iam import Request, Statement, allows, many
from support.rendered import of_kind, with_components
from support.s3 import running_s3
from support.terraform import Terraform

OBJECTS, MODELS = "arn:aws:s3:::atrium-objects", "arn:aws:s3:::atrium-models"
DATA_KEY = "arn:aws:kms:us-east-1:123456789012:key/data"
STREAM = "arn:aws:logs:us-east-1:123456789012:log-group:/atrium/containers:log-stream:x"
GUARDRAIL = "arn:aws:bedrock:us-east-1:123456789012:guardrail/g1"
WORKSPACE = "arn:aws:aps:us-east-1:123456789012:workspace/ws-1"
ROLE = "arn:aws:iam::123456789012:role/atrium-"
ISSUER = "oidc.eks.us-east-1.amazonaws.com/id/EXAMPLE"
SERVICES = ("router", "orchestrator", "rag", "vllm", "secrets-reader", "fluent-bit", "adot")
WITH_OBJECTS = {"router": {"stores/objects_s3.py"}, "rag": {"stores/objects_s3.py"}}
ELSEWHERE = {
    "router": {"stores/sealing_kms.py", "router/adapters/moderation_bedrock.py"},
    "orchestrator": {"stores/sealing_kms.py"},
    "rag": set[str](),
}
TELEMETRY = {"observability/cloudwatch.py", "observability/cloudwatch_logs.py"}
NOT_OF_RAG = {"s3:ListBucketVersions", "s3:DeleteObjectVersion"}
"""objects_s3.py: delete_all, which the router alone calls."""
NOT_OF_ORCHESTRATOR = {"kms:Encrypt"}


@dataclass(frozen=True)
class Made:
    policies: Mapping[str, Sequence[Statement]]
    trusts: Mapping[str, Sequence[Statement]]
    keys: Mapping[str, Sequence[Statement]]
    secrets: Mapping[str, str]
    sealing_key: str
    secrets_key: str

    def may(self, role: str, action: str, resource: str, **context: Any) -> bool:
        return allows(self.policies.get(role, ()), Request(action, resource, _keys(context)))

    def may_become(self, role: str, principal: str, action: str, **context: Any) -> bool:
        return allows(self.trusts[role], Request(action, "*", _keys(context), principal))


def _keys(context: dict[str, Any]) -> dict[str, Any]:
    """`tenant="a"` is the session's tag, `prefix` and `via` are short for S3's and KMS' keys."""
    names = {"tenant": "aws:PrincipalTag/tenant", "prefix": "s3:prefix", "via": "kms:ViaService"}
    more = context.pop("more", {})
    return {names[name]: value for name, value in context.items()} | dict(more)


def read_back(endpoint: str, outputs: Mapping[str, Any]) -> Made:
    settings = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test")
    iam, kms = session.client("iam", **settings), session.client("kms", **settings)
    policies, trusts = {}, {}
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        short = name.removeprefix("atrium-")
        trusts[short] = role["AssumeRolePolicyDocument"]["Statement"]
        assert not iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"], "a policy that is not ours"
        documents = [
            iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
        ]
        policies[short] = [statement for document in documents for statement in document["Statement"]]
    keys = {
        which: json.loads(kms.get_key_policy(KeyId=outputs[which], PolicyName="default")["Policy"])["Statement"]
        for which in ("sealing_key", "secrets_key")
    }
    return Made(policies, trusts, keys, outputs["secret_arns"], outputs["sealing_key"], outputs["secrets_key"])


def make(terraform: Terraform, folder: Path) -> dict[bool, Made]:
    """By `tenant_sessions`: made without, read, changed to with, read; and destroyed."""
    root = terraform.tree / "tests" / "moto-identity"
    found = {}
    with running_s3(folder / "moto.log") as endpoint, terraform.attached() as attached:
        done = attached.init(root)
        assert done.passed, done.said
        for sessions in (False, True):
            variables = [f"-var=endpoint={endpoint}", f"-var=tenant_sessions={json.dumps(sessions)}"]
            done = attached.run(root, "apply", "-auto-approve", *variables)
            assert done.passed, done.said
            outputs = json.loads(attached.run(root, "output", "-json").said)
            found[sessions] = read_back(endpoint, {name: output["value"] for name, output in outputs.items()})
        done = attached.run(root, "destroy", "-auto-approve", *variables)
        assert done.passed, done.said
        assert not attached.run(root, "state", "list").said.strip()
    return found


pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.ahead(make, first=True)]


@pytest.fixture
def made(outcome: dict[bool, Made]) -> Made:
    return outcome[True]


@pytest.fixture
def made_direct(outcome: dict[bool, Made]) -> Made:
    return outcome[False]


def requests(action: str, tenant: str, made: Made) -> list[Request]:
    """What a service sends that needs this right, with the context that AWS adds to it."""
    path = f"{OBJECTS}/objects/tenants/{tenant}/uploads/x"
    folder = {"s3:prefix": f"objects/tenants/{tenant}/"}
    of_tenant = {"kms:EncryptionContext:atrium-tenant": tenant}
    match action.partition(":")[0]:
        case "s3" if action in {"s3:ListBucket", "s3:ListBucketVersions"}:
            return [Request(action, OBJECTS, folder)]
        case "s3":
            return [Request(action, path)]
        case "kms":
            return [Request(action, made.sealing_key, of_tenant)]
        case "bedrock":
            return [Request(action, GUARDRAIL)]
        case "cloudwatch":
            return [Request(action, "*", {"cloudwatch:namespace": "MultiTenantChatbot"})]
        case "logs":
            return [Request(action, STREAM)]
    raise AssertionError(action)


def needed(files: set[str]) -> set[str]:
    return {right for file in files for call in called(SOURCES / file) for right in NEEDS[call]}


def session(request: Request, tenant: str) -> Request:
    return Request(request.action, request.resource, {**request.context, "aws:PrincipalTag/tenant": tenant})


def test_every_file_that_calls_aws_is_known_here_and_every_call_of_its_own() -> None:
    of_services = {file for files in (*WITH_OBJECTS.values(), *ELSEWHERE.values(), TELEMETRY) for file in files}
    assert files_that_use_aws() == of_services | {"stores/tenant_sessions.py", "observability/aws.py"}
    for file in of_services | {"stores/tenant_sessions.py"}:
        assert called(SOURCES / file) <= set(NEEDS), file
    assert called(FETCH_MODEL) <= set(NEEDS)


def test_only_the_router_deletes_all_of_a_tenants_objects() -> None:
    """From which follows that the RAG service needs no right to versions."""
    for package in ("rag", "app"):
        assert not [path for path in (SOURCES / package).rglob("*.py") if ".delete_all(" in path.read_text("utf-8")]


@pytest.mark.parametrize("service", ["router", "orchestrator", "rag"])
def test_a_service_can_do_what_it_calls(made: Made, service: str) -> None:
    wanted = needed(ELSEWHERE[service] | TELEMETRY) | {"logs:CreateLogStream"}
    if service == "orchestrator":
        wanted -= NOT_OF_ORCHESTRATOR
    for action in wanted:
        for request in requests(action, "a", made):
            assert allows(made.policies[service], request), (service, request)
    groups = "arn:aws:logs:us-east-1:123456789012:log-group:any"
    assert made.may(service, "logs:DescribeLogGroups", groups)


@pytest.mark.parametrize("service", ["router", "rag"])
def test_a_tenants_session_can_do_what_the_service_does_with_objects(made: Made, service: str) -> None:
    wanted = needed(WITH_OBJECTS[service]) - (NOT_OF_RAG if service == "rag" else set())
    for action in wanted:
        for request in requests(action, "a", made):
            assert allows(made.policies[f"{service}-tenant"], session(request, "a")), request
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        assert made.may(f"{service}-tenant", action, DATA_KEY, tenant="a", via="s3.us-east-1.amazonaws.com")
        assert not made.may(f"{service}-tenant", action, DATA_KEY, tenant="a")


@pytest.mark.parametrize("service", ["router", "rag"])
@pytest.mark.parametrize("other", ["b", "ab", "a-b", "aa"])
def test_a_tenants_session_reaches_nothing_of_another_tenant(made: Made, service: str, other: str) -> None:
    for action in needed(WITH_OBJECTS[service]):
        for request in requests(action, other, made):
            assert not allows(made.policies[f"{service}-tenant"], session(request, "a")), request


@pytest.mark.parametrize("service", ["router", "rag"])
def test_a_tenants_session_lists_nothing_above_its_folder(made: Made, service: str) -> None:
    role = f"{service}-tenant"
    for action in ("s3:ListBucket", "s3:ListBucketVersions"):
        assert not made.may(role, action, OBJECTS, tenant="a")
        for prefix in ("", "objects/", "objects/tenants/", "objects/tenants/a", "tenants/a/", "objects/tenants/*/"):
            assert not made.may(role, action, OBJECTS, tenant="a", prefix=prefix), prefix
    for key in ("x", "objects/x", "objects/tenants/a", "tenants/a/x"):
        assert not made.may(role, "s3:GetObject", f"{OBJECTS}/{key}", tenant="a"), key
    assert not made.may(role, "s3:GetObject", f"{MODELS}/objects/tenants/a/x", tenant="a")


@pytest.mark.parametrize("service", ["router", "rag"])
def test_a_session_without_a_tenant_reaches_no_object(made: Made, service: str) -> None:
    for action in needed(WITH_OBJECTS[service]):
        for request in requests(action, "a", made):
            assert not allows(made.policies[f"{service}-tenant"], request)


def test_a_pattern_in_the_tag_is_no_pattern_in_the_policy(made: Made) -> None:
    assert not made.may("rag-tenant", "s3:GetObject", f"{OBJECTS}/objects/tenants/a/x", tenant="*")


@pytest.mark.parametrize("service", ["router", "rag"])
def test_only_the_service_itself_becomes_a_tenants_session_and_only_with_one_tag(made: Made, service: str) -> None:
    role, other = f"{service}-tenant", "rag" if service == "router" else "router"
    one = {"aws:RequestTag/tenant": "a", "aws:TagKeys": ["tenant"]}
    for action in ("sts:AssumeRole", "sts:TagSession"):
        assert made.may(service, action, ROLE + role, more=one)
        assert made.may_become(role, ROLE + service, action, more=one)
        assert not made.may_become(role, ROLE + other, action, more=one)
        assert not made.may(other, action, ROLE + role, more=one)
        assert not made.may_become(role, ROLE + service, action)
        assert not made.may_become(role, ROLE + service, action, more={**one, "aws:TagKeys": ["tenant", "x"]})
        assert not made.may_become(role, ROLE + service, action, more={**one, "aws:RequestTag/tenant": ""})


@pytest.mark.parametrize("service", ["router", "rag"])
def test_with_sessions_the_services_own_role_reaches_no_object(made: Made, service: str) -> None:
    assert made.may(service, "s3:ListBucket", OBJECTS, prefix="objects/ready")
    for action in needed(WITH_OBJECTS[service]):
        for request in requests(action, "a", made):
            assert not allows(made.policies[service], request), request
    assert not made.may(service, "s3:ListBucket", OBJECTS)
    assert not made.may(service, "kms:Decrypt", DATA_KEY, via="s3.us-east-1.amazonaws.com")


@pytest.mark.parametrize("service", ["router", "rag"])
def test_without_sessions_a_service_reaches_tenants_objects_and_no_others(made_direct: Made, service: str) -> None:
    wanted = needed(WITH_OBJECTS[service]) - (NOT_OF_RAG if service == "rag" else set())
    for action in wanted:
        for request in requests(action, "a", made_direct):
            assert allows(made_direct.policies[service], request), request
    assert made_direct.may(service, "s3:ListBucket", OBJECTS, prefix="objects/ready")
    for key in ("x", "objects/x", "backups/x"):
        assert not made_direct.may(service, "s3:GetObject", f"{OBJECTS}/{key}")
        assert not made_direct.may(service, "s3:ListBucket", OBJECTS, prefix=key)
    for action in NOT_OF_RAG:
        may = [allows(made_direct.policies[service], one) for one in requests(action, "a", made_direct)]
        assert all(may) == (service == "router")


def test_the_engine_reads_models_and_does_nothing_else(made: Made) -> None:
    for call in called(FETCH_MODEL):
        for action in NEEDS[call]:
            resource = MODELS if action == "s3:ListBucket" else f"{MODELS}/qwen/config.json"
            assert made.may("vllm", action, resource), action
    assert made.may("vllm", "kms:Decrypt", DATA_KEY, via="s3.us-east-1.amazonaws.com")
    assert not made.may("vllm", "kms:GenerateDataKey", DATA_KEY, via="s3.us-east-1.amazonaws.com")
    for action in ("s3:PutObject", "s3:DeleteObject"):
        assert not made.may("vllm", action, f"{MODELS}/qwen/config.json")
    assert not made.may("vllm", "s3:GetObject", f"{OBJECTS}/objects/tenants/a/x")


def test_secrets_are_read_by_their_reader_alone(made: Made) -> None:
    assert set(made.secrets) == {"router", "orchestrator", "rag", "migrations"}
    for arn in made.secrets.values():
        may = [role for role in made.policies if made.may(role, "secretsmanager:GetSecretValue", arn)]
        assert may == ["secrets-reader"]
    via = "secretsmanager.us-east-1.amazonaws.com"
    assert [role for role in made.policies if made.may(role, "kms:Decrypt", made.secrets_key, via=via)] == may
    other = "arn:aws:secretsmanager:us-east-1:123456789012:secret:other-AbCdEf"
    assert not made.may("secrets-reader", "secretsmanager:GetSecretValue", other)
    for action in ("PutSecretValue", "DeleteSecret", "ListSecrets", "UpdateSecret"):
        assert not made.may("secrets-reader", f"secretsmanager:{action}", made.secrets["router"])


def test_nobody_seals_or_opens_without_naming_a_tenant(made: Made) -> None:
    named = {"kms:EncryptionContext:atrium-tenant": "a"}
    sealers = {"kms:Encrypt": {"router"}, "kms:Decrypt": {"router", "orchestrator"}}
    for action, roles in sealers.items():
        assert {role for role in made.policies if made.may(role, action, made.sealing_key, more=named)} == roles
        assert not [role for role in made.policies if made.may(role, action, made.sealing_key)]
        root = "arn:aws:iam::123456789012:root"
        assert allows(made.keys["sealing_key"], Request(action, "*", named, root))
        assert not allows(made.keys["sealing_key"], Request(action, "*", {}, root))


def test_the_entries_key_works_through_secrets_manager_alone(made: Made) -> None:
    root, via = "arn:aws:iam::123456789012:root", "kms:ViaService"
    at = {where: {via: f"{where}.us-east-1.amazonaws.com"} for where in ("secretsmanager", "s3")}
    assert allows(made.keys["secrets_key"], Request("kms:Decrypt", "*", at["secretsmanager"], root))
    for context in (at["s3"], {}):
        assert not allows(made.keys["secrets_key"], Request("kms:Decrypt", "*", context, root))
    assert allows(made.keys["secrets_key"], Request("kms:ScheduleKeyDeletion", "*", {}, root))


def test_agents_write_where_they_should_and_read_nothing(made: Made) -> None:
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        assert made.may("fluent-bit", action, STREAM)
        assert not made.may("fluent-bit", action, STREAM.replace("/atrium/containers", "/atrium/other"))
    for action in ("logs:GetLogEvents", "logs:DeleteLogGroup", "logs:CreateLogGroup"):
        assert not made.may("fluent-bit", action, STREAM)
    assert made.may("adot", "aps:RemoteWrite", WORKSPACE)
    assert not made.may("adot", "aps:RemoteWrite", WORKSPACE + "2")
    assert not made.may("adot", "aps:QueryMetrics", WORKSPACE)
    assert not made.may("rag", "cloudwatch:PutMetricData", "*", more={"cloudwatch:namespace": "Other"})


def test_no_role_has_a_wildcard_for_an_action_or_touches_iam(made: Made, made_direct: Made) -> None:
    for which in (made, made_direct):
        for role, statements in which.policies.items():
            for statement in statements:
                assert not [action for action in many(statement["Action"]) if "*" in action], role
                bounded = statement.get("Condition", {}).get("StringEquals", {}).get("cloudwatch:namespace")
                assert bounded or "*" not in many(statement["Resource"]), role
            for action in (
                "iam:PassRole",
                "iam:PutRolePolicy",
                "iam:CreateRole",
                "kms:CreateGrant",
                "s3:PutBucketPolicy",
            ):
                assert not which.may(role, action, "*"), (role, action)


def test_each_service_account_of_the_manifests_and_nobody_else_gets_its_role(made: Made) -> None:
    found = with_components("external-secrets", "fluent-bit", "adot")
    accounts = {
        account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].rpartition("/atrium-")[2]: account["metadata"]
        for account in of_kind(found, "ServiceAccount")
        if "eks.amazonaws.com/role-arn" in account["metadata"].get("annotations", {})
    }
    assert set(accounts) == set(SERVICES)
    assert set(made.trusts) == {*SERVICES, "router-tenant", "rag-tenant"}
    cluster = f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}"
    for role in SERVICES:
        for service, account in accounts.items():
            subject = f"system:serviceaccount:{account['namespace']}:{account['name']}"
            token = {f"{ISSUER}:sub": subject, f"{ISSUER}:aud": "sts.amazonaws.com"}
            becomes = made.may_become(role, cluster, "sts:AssumeRoleWithWebIdentity", more=token)
            assert becomes == (role == service), (role, subject)
            for left_out in token:
                less = {name: value for name, value in token.items() if name != left_out}
                assert not made.may_become(role, cluster, "sts:AssumeRoleWithWebIdentity", more=less)

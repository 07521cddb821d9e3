"""The part of operators' resource definitions that the manifests use, closed: a field that is not here is unknown.

Written after the definitions of Karpenter 1.8 (`karpenter.sh/v1`, `karpenter.k8s.aws/v1`), KEDA 2.17
(`keda.sh/v1alpha1`), External Secrets 0.17 (`external-secrets.io/v1`; v1beta1 is no longer served) and the Prometheus
operator (`monitoring.coreos.com/v1`). A field that one of them has and nobody here uses is added when it is used.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
BOOLEAN: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
QUANTITY: Schema = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}
GO_DURATION: Schema = {"type": "string", "pattern": r"^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$"}
KARPENTER_DURATION: Schema = {"type": "string", "pattern": r"^(([0-9]+(s|m|h))+|Never)$"}
KARPENTER_GRACE: Schema = {"type": "string", "pattern": r"^([0-9]+(s|m|h))+$"}


def closed(required: tuple[str, ...] = (), **fields: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": fields}


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def many(item: Schema, least: int = 1) -> Schema:
    return {"type": "array", "items": item, "minItems": least}


_RULES = closed(
    stabilizationWindowSeconds={**COUNT, "maximum": 3600},
    selectPolicy=one_of("Max", "Min", "Disabled"),
    policies=many(
        closed(
            ("type", "value", "periodSeconds"),
            type=one_of("Pods", "Percent"),
            value={"type": "integer", "minimum": 1},
            periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
        )
    ),
)
_PROMETHEUS_TRIGGER = closed(
    ("type", "metadata"),
    type=one_of("prometheus"),
    name=TEXT,
    metricType=one_of("AverageValue", "Value"),
    # Every value is text, numbers and truths included.
    metadata=closed(
        ("serverAddress", "query", "threshold"),
        serverAddress={"type": "string", "pattern": "^https?://"},
        query=TEXT,
        threshold={"type": "string", "pattern": r"^\d+(\.\d+)?$"},
        activationThreshold={"type": "string", "pattern": r"^\d+(\.\d+)?$"},
        ignoreNullValues=one_of("true", "false"),
    ),
)
SCALED_OBJECT = closed(
    ("scaleTargetRef", "triggers"),
    scaleTargetRef=closed(("name",), apiVersion=TEXT, kind=TEXT, name=TEXT, envSourceContainerName=TEXT),
    pollingInterval=COUNT,
    cooldownPeriod=COUNT,
    initialCooldownPeriod=COUNT,
    idleReplicaCount=COUNT,
    minReplicaCount=COUNT,
    maxReplicaCount=COUNT,
    fallback=closed(
        ("failureThreshold", "replicas"),
        failureThreshold=COUNT,
        replicas=COUNT,
        behavior=one_of("static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"),
    ),
    advanced=closed(
        restoreToOriginalReplicaCount=BOOLEAN,
        horizontalPodAutoscalerConfig=closed(name=TEXT, behavior=closed(scaleUp=_RULES, scaleDown=_RULES)),
    ),
    triggers=many(_PROMETHEUS_TRIGGER),
)

_TAINT = closed(
    ("key", "effect"),
    key=TEXT,
    value=TEXT,
    effect=one_of("NoSchedule", "PreferNoSchedule", "NoExecute"),
)
_OPERANDS = ("key", "operator", "values")
_SET = closed(_OPERANDS, key=TEXT, operator=one_of("In", "NotIn"), values=many(TEXT))
_NUMBER: Schema = {"type": "string", "pattern": r"^\d+$"}
_BOUND = closed(_OPERANDS, key=TEXT, operator=one_of("Gt", "Lt"), values={**many(_NUMBER), "maxItems": 1})
_PRESENCE = closed(("key", "operator"), key=TEXT, operator=one_of("Exists", "DoesNotExist"))
NODE_POOL = closed(
    ("template",),
    weight={"type": "integer", "minimum": 1, "maximum": 100},
    limits={"type": "object", "additionalProperties": QUANTITY},
    disruption=closed(
        ("consolidateAfter",),
        consolidationPolicy=one_of("WhenEmpty", "WhenEmptyOrUnderutilized"),
        consolidateAfter=KARPENTER_DURATION,
        budgets=many(
            closed(
                ("nodes",),
                nodes={"type": "string", "pattern": r"^((100|[0-9]{1,2})%|[0-9]+)$"},
                reasons=many(one_of("Underutilized", "Empty", "Drifted")),
            )
        ),
    ),
    template=closed(
        ("spec",),
        metadata=closed(labels=TEXTS, annotations=TEXTS),
        spec=closed(
            ("nodeClassRef", "requirements"),
            nodeClassRef=closed(
                ("group", "kind", "name"), group=one_of("karpenter.k8s.aws"), kind=one_of("EC2NodeClass"), name=TEXT
            ),
            expireAfter=KARPENTER_DURATION,
            terminationGracePeriod=KARPENTER_GRACE,
            taints=many(_TAINT),
            requirements=many({"anyOf": [_SET, _BOUND, _PRESENCE]}),
        ),
    ),
)
_BY_TAGS = many(closed(("tags",), tags=TEXTS))
EC2_NODE_CLASS = closed(
    ("amiSelectorTerms", "subnetSelectorTerms", "securityGroupSelectorTerms", "role"),
    amiFamily=one_of("AL2023", "Bottlerocket"),
    amiSelectorTerms={
        **many(closed(("alias",), alias={"type": "string", "pattern": r"^(al2023|bottlerocket)@v?[0-9].*$"})),
        "maxItems": 1,  # an alias stands alone
    },
    role=TEXT,
    subnetSelectorTerms=_BY_TAGS,
    securityGroupSelectorTerms=_BY_TAGS,
    capacityReservationSelectorTerms=_BY_TAGS,
    instanceStorePolicy=one_of("RAID0"),
    blockDeviceMappings=many(
        closed(
            ("deviceName", "ebs"),
            deviceName=TEXT,
            ebs=closed(
                volumeType=one_of("gp3", "gp2", "io1", "io2"),
                volumeSize={"type": "string", "pattern": r"^\d+(Gi|G|Ti|T)$"},
                iops=COUNT,
                throughput=COUNT,
                encrypted=BOOLEAN,
                deleteOnTermination=BOOLEAN,
            ),
        )
    ),
    metadataOptions=closed(
        httpEndpoint=one_of("enabled", "disabled"),
        httpProtocolIPv6=one_of("enabled", "disabled"),
        httpPutResponseHopLimit={"type": "integer", "minimum": 1, "maximum": 64},
        httpTokens=one_of("required", "optional"),
    ),
    tags=TEXTS,
)

EXTERNAL_SECRET = closed(
    ("secretStoreRef", "target"),
    refreshInterval=GO_DURATION,
    secretStoreRef=closed(("name",), kind=one_of("SecretStore", "ClusterSecretStore"), name=TEXT),
    target=closed(
        ("name",),
        name=TEXT,
        creationPolicy=one_of("Owner", "Orphan", "Merge", "None"),
        deletionPolicy=one_of("Delete", "Merge", "Retain"),
    ),
    dataFrom=many(closed(("extract",), extract=closed(("key",), key=TEXT))),
)
SECRET_STORE = closed(
    ("provider",),
    provider=closed(
        ("aws",),
        aws=closed(
            ("service", "region"),
            service=one_of("SecretsManager", "ParameterStore"),
            region=TEXT,
            auth=closed(jwt=closed(serviceAccountRef=closed(("name",), name=TEXT))),
        ),
    ),
)

_PROMETHEUS_DURATION: Schema = {"type": "string", "pattern": r"^(0|(\d+(y|w|d|h|m|s|ms))+)$"}
PROMETHEUS_RULE = closed(
    ("groups",),
    groups=many(
        closed(
            ("name", "rules"),
            name=TEXT,
            interval=_PROMETHEUS_DURATION,
            rules=many(
                closed(
                    ("expr",),
                    alert=TEXT,
                    record=TEXT,
                    expr={"type": ["string", "integer"]},
                    labels=TEXTS,
                    annotations=TEXTS,
                    **{"for": _PROMETHEUS_DURATION, "keep_firing_for": _PROMETHEUS_DURATION},
                )
            ),
        )
    ),
)

SERVED: dict[tuple[str, str], Schema] = {
    ("keda.sh/v1alpha1", "ScaledObject"): SCALED_OBJECT,
    ("karpenter.sh/v1", "NodePool"): NODE_POOL,
    ("karpenter.k8s.aws/v1", "EC2NodeClass"): EC2_NODE_CLASS,
    ("external-secrets.io/v1", "ExternalSecret"): EXTERNAL_SECRET,
    ("external-secrets.io/v1", "SecretStore"): SECRET_STORE,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PROMETHEUS_RULE,
}
"""apiVersion and kind to the schema of `spec`."""

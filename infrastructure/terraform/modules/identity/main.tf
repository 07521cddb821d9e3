# One role a service account, with what its code calls and nothing else (tests/infrastructure/test_iam_policies.py has
# the list of calls). Nobody may read a secret but secrets-reader; nobody may touch IAM.

locals {
  accounts = {
    router         = { namespace = var.namespace, account = "router" }
    orchestrator   = { namespace = var.namespace, account = "orchestrator" }
    rag            = { namespace = var.namespace, account = "rag" }
    vllm           = { namespace = "${var.namespace}-engine", account = "vllm" }
    secrets-reader = { namespace = var.namespace, account = "secrets-reader" }
    fluent-bit     = { namespace = "kube-system", account = "atrium-fluent-bit" }
    adot           = { namespace = "${var.namespace}-telemetry", account = "adot" }
  }

  statements = {
    router         = concat(local.objects.router, local.seal, local.unseal, local.moderate, local.telemetry)
    orchestrator   = concat(local.unseal, local.telemetry)
    rag            = concat(local.objects.rag, local.telemetry)
    vllm           = local.models
    secrets-reader = local.secrets
    fluent-bit     = local.write_logs
    adot           = local.write_prometheus
  }
}

resource "aws_iam_role" "this" {
  for_each = local.accounts

  name               = "${var.role_prefix}-${each.key}"
  description        = "${each.value.namespace}/${each.value.account} of ${var.name}"
  assume_role_policy = var.pod_identity_cluster == null ? local.irsa[each.key] : local.pod_identity[each.key]
  tags               = var.tags
}

resource "aws_iam_role_policy" "this" {
  for_each = local.statements

  name   = each.key
  role   = aws_iam_role.this[each.key].name
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })
}

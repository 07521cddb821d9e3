# What the others do, one list a thing that is done.

locals {
  seal = [{
    Sid       = "SealATenantsKey"
    Effect    = "Allow"
    Action    = ["kms:Encrypt"]
    Resource  = [var.sealing_kms_key_arn]
    Condition = { Null = { "kms:EncryptionContext:atrium-tenant" = "false" } }
  }]

  unseal = [{
    Sid       = "OpenATenantsKey"
    Effect    = "Allow"
    Action    = ["kms:Decrypt"]
    Resource  = [var.sealing_kms_key_arn]
    Condition = { Null = { "kms:EncryptionContext:atrium-tenant" = "false" } }
  }]

  moderate = [for arns in [var.guardrail_arns] : {
    Sid      = "AskGuardrails"
    Effect   = "Allow"
    Action   = ["bedrock:ApplyGuardrail"]
    Resource = arns
  } if length(arns) > 0]

  telemetry = concat(local.put_metrics, [for statement in concat(local.find_logs, local.write_logs) : statement if var.services_write_logs])

  # PutMetricData knows no resources: the namespace is what bounds it.
  put_metrics = [for namespace in var.metrics_namespace[*] : {
    Sid       = "PutMetrics"
    Effect    = "Allow"
    Action    = ["cloudwatch:PutMetricData"]
    Resource  = ["*"]
    Condition = { StringEquals = { "cloudwatch:namespace" = namespace } }
  }]

  # watchtower looks for its group among all of the account's.
  find_logs = [{
    Sid      = "FindLogGroup"
    Effect   = "Allow"
    Action   = ["logs:DescribeLogGroups"]
    Resource = ["arn:${local.partition}:logs:${var.region}:${var.account_id}:log-group:*"]
  }]

  write_logs = [{
    Sid      = "WriteLogs"
    Effect   = "Allow"
    Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    Resource = [for arn in var.log_group_arns : "${arn}:*"] # the group's streams; CreateLogStream asks for the group with :*
  }]

  models = [
    {
      Sid      = "FindModels"
      Effect   = "Allow"
      Action   = ["s3:ListBucket"]
      Resource = [var.models_bucket_arn]
    },
    {
      Sid      = "ReadModels"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["${var.models_bucket_arn}/*"]
    },
    {
      Sid       = "KeyOfTheBucket"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = [var.data_kms_key_arn]
      Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
    },
  ]

  secrets = [
    {
      Sid      = "ReadEntries"
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
      Resource = sort(values(var.secret_arns))
    },
    {
      Sid       = "KeyOfTheEntries"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = [var.secrets_kms_key_arn]
      Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
    },
  ]

  # Whether there is a workspace may be known only when it is made, so there is a statement in both cases.
  write_prometheus = [{
    Sid      = "WriteMetrics"
    Effect   = var.prometheus_workspace_arn == null ? "Deny" : "Allow"
    Action   = ["aps:RemoteWrite"]
    Resource = [coalesce(var.prometheus_workspace_arn, "*")]
  }]
}

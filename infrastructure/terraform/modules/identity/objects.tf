# Tenants' objects: whatever the router and the RAG service do with them, by src/stores/objects_s3.py. The router deletes
# tenants and so deletes old versions; the RAG service does not.

locals {
  writers = {
    router = { list = ["s3:ListBucket", "s3:ListBucketVersions"], use = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"] }
    rag    = { list = ["s3:ListBucket"], use = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] }
  }
  root = var.objects_prefix == "" ? "" : "${var.objects_prefix}/"

  # For every tenant (tenant_sessions = false). IfExists: S3 asks for s3:ListBucket, without a prefix, where it decides
  # whether what is not there is 404 or 403.
  all_tenants = { for service, may in local.writers : service => [
    {
      Sid       = "ListTenants"
      Effect    = "Allow"
      Action    = may.list
      Resource  = [var.objects_bucket_arn]
      Condition = { StringLikeIfExists = { "s3:prefix" = ["${local.root}tenants/*", "${local.root}ready"] } }
    },
    {
      Sid      = "UseTenantsObjects"
      Effect   = "Allow"
      Action   = may.use
      Resource = ["${var.objects_bucket_arn}/${local.root}tenants/*"]
    },
    local.bucket_key,
  ] }

  # For one tenant, whose id is a tag of the session.
  one_tenant = { for service, may in local.writers : service => [
    {
      Sid       = "ListOneTenant"
      Effect    = "Allow"
      Action    = may.list
      Resource  = [var.objects_bucket_arn]
      Condition = { StringLike = { "s3:prefix" = ["${local.root}tenants/$${aws:PrincipalTag/tenant}/*"] } }
    },
    {
      Sid      = "UseOneTenantsObjects"
      Effect   = "Allow"
      Action   = may.use
      Resource = ["${var.objects_bucket_arn}/${local.root}tenants/$${aws:PrincipalTag/tenant}/*"]
    },
    local.bucket_key,
  ] }

  # With tenant_sessions a service itself may become such a session, and ask whether the bucket answers.
  by_session = { for service in keys(local.writers) : service => [
    {
      Sid       = "BecomeOneTenant"
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Resource  = ["arn:${local.partition}:iam::${var.account_id}:role/${var.role_prefix}-${service}-tenant"]
      Condition = { "ForAllValues:StringEquals" = { "aws:TagKeys" = ["tenant"] } }
    },
    {
      Sid       = "AskWhetherItAnswers"
      Effect    = "Allow"
      Action    = ["s3:ListBucket"]
      Resource  = [var.objects_bucket_arn]
      Condition = { StringEquals = { "s3:prefix" = ["${local.root}ready"] } }
    },
  ] }

  objects = { for service in keys(local.writers) : service => concat(
    [for statement in local.by_session[service] : statement if var.tenant_sessions],
    [for statement in local.all_tenants[service] : statement if !var.tenant_sessions],
  ) }
  partition = split(":", var.objects_bucket_arn)[1]

  bucket_key = {
    Sid       = "KeyOfTheBucket"
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource  = [var.data_kms_key_arn]
    Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
  }
}

resource "aws_iam_role" "tenant" {
  for_each = local.writers

  name        = "${var.role_prefix}-${each.key}-tenant"
  description = "One tenant's objects, for ${each.key} of ${var.name}: the tenant is the session's tag"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = aws_iam_role.this[each.key].arn }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringLike                  = { "aws:RequestTag/tenant" = "?*" }
        "ForAllValues:StringEquals" = { "aws:TagKeys" = ["tenant"] }
      }
    }]
  })
}

resource "aws_iam_role_policy" "tenant" {
  for_each = local.writers

  name   = "one-tenant"
  role   = aws_iam_role.tenant[each.key].name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.one_tenant[each.key] })
}

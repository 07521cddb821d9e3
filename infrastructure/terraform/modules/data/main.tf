# What Atrium keeps: PostgreSQL is the truth, Valkey what may be lost, the buckets what is too large for either.

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account_id = data.aws_caller_identity.this.account_id
  partition  = data.aws_partition.this.partition
  logs       = "arn:${local.partition}:logs:${data.aws_region.this.name}:${local.account_id}:log-group"
  log_groups = {
    postgresql = "/aws/rds/instance/${var.name}/postgresql"
    upgrade    = "/aws/rds/instance/${var.name}/upgrade"
    valkey     = "/aws/elasticache/${var.name}/engine"
  }
  clients = { for index, id in var.client_security_group_ids : tostring(index) => id } # ids are known late, places early
}

# One key for what holds tenants' data, so that to be rid of the environment is to delete one key.
resource "aws_kms_key" "this" {
  description             = "${var.name}: PostgreSQL, Valkey, buckets and their logs"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = var.tags

  # In a key's policy "*" as resource is the key itself.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RolesOfTheAccountDecide"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "LogsOfTheStores"
        Effect    = "Allow"
        Principal = { Service = "logs.${data.aws_region.this.name}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = { ArnEquals = { "kms:EncryptionContext:aws:logs:arn" = [for group in values(local.log_groups) : "${local.logs}:${group}"] } }
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}-data"
  target_key_id = aws_kms_key.this.key_id
}

# Made here, so that they are encrypted and end: RDS would make them without.
resource "aws_cloudwatch_log_group" "this" {
  for_each = local.log_groups

  name              = each.value
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.this.arn
  tags              = var.tags
}

# The services' secrets. Only the entries are made here: a value put by Terraform would lie in its state. The operator
# puts them (README.md); until then External Secrets finds nothing, makes no Secret, and the pods wait for it.

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account = "arn:${data.aws_partition.this.partition}:iam::${data.aws_caller_identity.this.account_id}:root"
}

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:Two of the values are halves of one key pair, and two are logins of PostgreSQL: README.md says how each is replaced without an outage, which no rotation function of AWS does
  for_each = var.entries

  name                    = "${var.prefix}/${each.key}"
  description             = "Settings of ${var.name} that are secret: ${each.key}"
  kms_key_id              = aws_kms_key.secrets.arn
  recovery_window_in_days = var.recovery_window_days
  tags                    = var.tags
}

# Who may read is said by the readers' roles (module identity). This says who may not, whatever a role says: another account.
resource "aws_secretsmanager_secret_policy" "this" {
  for_each = aws_secretsmanager_secret.this

  secret_arn          = each.value.arn
  block_public_policy = true
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "NobodyFromOutside"
      Effect    = "Deny"
      Principal = "*"
      Action    = "secretsmanager:*"
      Resource  = "*"
      Condition = { StringNotEquals = { "aws:PrincipalAccount" = data.aws_caller_identity.this.account_id } }
    }]
  })
}

# In a key's policy "*" as resource is the key itself.

resource "aws_kms_key" "secrets" {
  description             = "${var.name}: the entries in Secrets Manager"
  enable_key_rotation     = true
  deletion_window_in_days = var.key_deletion_days
  tags                    = var.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RolesOfTheAccountDecide"
        Effect    = "Allow"
        Principal = { AWS = local.account }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "OnlyThroughSecretsManager"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = "*"
        Condition = { StringNotEquals = { "kms:ViaService" = "secretsmanager.${data.aws_region.this.name}.amazonaws.com" } }
      },
    ]
  })
}

resource "aws_kms_alias" "secrets" {
  name          = "alias/${var.name}-secrets"
  target_key_id = aws_kms_key.secrets.key_id
}

# KMS_KEY_ID of router and orchestrator: seals what tenants entrust (src/stores/sealing_kms.py).
resource "aws_kms_key" "sealing" {
  description             = "${var.name}: tenants' keys for engines of their own"
  enable_key_rotation     = true
  deletion_window_in_days = var.key_deletion_days
  tags                    = var.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RolesOfTheAccountDecide"
        Effect    = "Allow"
        Principal = { AWS = local.account }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "NothingWithoutATenant"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["kms:Encrypt", "kms:Decrypt"]
        Resource  = "*"
        Condition = { Null = { "kms:EncryptionContext:atrium-tenant" = "true" } }
      },
      {
        Sid       = "NothingElse"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:CreateGrant"]
        Resource  = "*"
      },
    ]
  })
}

resource "aws_kms_alias" "sealing" {
  name          = "alias/${var.name}-sealing"
  target_key_id = aws_kms_key.sealing.key_id
}

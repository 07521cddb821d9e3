# One user, which reaches Atrium's keys and channels and no command that is an administrator's. Until the operator has
# given it a password nobody can log in but by IAM; the password is never in Terraform's state (README of module secrets).

resource "aws_elasticache_user" "atrium" {
  user_id       = local.valkey_user
  user_name     = local.valkey_user # login by IAM asks for the same
  engine        = "valkey"
  access_string = "on ~atrium:* &atrium:* -@all +@read +@write +@scripting +@pubsub +@transaction +@connection +time -@dangerous"
  tags          = var.tags

  authentication_mode {
    type = "iam"
  }

  lifecycle {
    ignore_changes = [authentication_mode, passwords]
  }
}

resource "aws_elasticache_user_group" "this" {
  user_group_id = var.name
  engine        = "valkey"
  user_ids      = [aws_elasticache_user.atrium.user_id]
  tags          = var.tags
}

resource "aws_secretsmanager_secret" "valkey" {
  #checkov:skip=CKV2_AWS_57:A user has two passwords while one replaces the other, which the operator does (module secrets, README.md); no rotation function of AWS does for ElastiCache
  name                    = coalesce(var.valkey_secret_name, "${var.name}/valkey")
  description             = "Password of Valkey's user of ${var.name}; REDIS_URL in the router's entry has it too"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.force_destroy ? 0 : 30
  tags                    = var.tags
}

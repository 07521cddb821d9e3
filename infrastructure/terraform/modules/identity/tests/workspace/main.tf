# The module beside a workspace that is not there yet: its ARN is unknown while it is planned.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.90, < 6"
    }
  }
}

resource "aws_prometheus_workspace" "this" {
  alias = "atrium-test"
}

module "identity" {
  source = "../.."

  name                     = "atrium-test"
  oidc_provider_arn        = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/X"
  oidc_issuer              = "oidc.eks.us-east-1.amazonaws.com/id/X"
  region                   = "us-east-1"
  account_id               = "123456789012"
  objects_bucket_arn       = "arn:aws:s3:::objects"
  models_bucket_arn        = "arn:aws:s3:::models"
  data_kms_key_arn         = "arn:aws:kms:us-east-1:123456789012:key/data"
  sealing_kms_key_arn      = "arn:aws:kms:us-east-1:123456789012:key/sealing"
  secrets_kms_key_arn      = "arn:aws:kms:us-east-1:123456789012:key/secrets" # pragma: allowlist secret
  secret_arns              = { router = "arn:aws:secretsmanager:us-east-1:123456789012:secret:atrium/router-AbCdEf" }
  log_group_arns           = ["arn:aws:logs:us-east-1:123456789012:log-group:/atrium/containers"]
  prometheus_workspace_arn = aws_prometheus_workspace.this.arn
}

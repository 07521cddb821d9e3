# Not an environment: what tests/infrastructure/test_iam_policies.py applies to moto, an imitation of AWS's API, to read
# the roles' policies back from IAM.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.90, < 6"
    }
  }
}

variable "endpoint" {
  description = "moto's URL."
  type        = string
}

variable "tenant_sessions" {
  description = "As in module identity."
  type        = bool
  default     = true
}

locals {
  account = "123456789012"
  region  = "us-east-1"
  issuer  = "oidc.eks.us-east-1.amazonaws.com/id/EXAMPLE"
}

provider "aws" {
  region                      = local.region
  access_key                  = "test"
  secret_key                  = "test" # pragma: allowlist secret
  max_retries                 = 5
  skip_credentials_validation = true
  skip_metadata_api_check     = true

  endpoints {
    iam            = var.endpoint
    kms            = var.endpoint
    secretsmanager = var.endpoint
    sts            = var.endpoint
  }
}

module "secrets" {
  source = "../../modules/secrets"

  name                 = "atrium-moto"
  recovery_window_days = 0
}

module "identity" {
  source = "../../modules/identity"

  name                     = "atrium-moto"
  oidc_provider_arn        = "arn:aws:iam::${local.account}:oidc-provider/${local.issuer}"
  oidc_issuer              = local.issuer
  region                   = local.region
  account_id               = local.account
  tenant_sessions          = var.tenant_sessions
  objects_bucket_arn       = "arn:aws:s3:::atrium-objects"
  models_bucket_arn        = "arn:aws:s3:::atrium-models"
  data_kms_key_arn         = "arn:aws:kms:${local.region}:${local.account}:key/data"
  sealing_kms_key_arn      = module.secrets.sealing_kms_key_arn
  secret_arns              = module.secrets.secret_arns
  secrets_kms_key_arn      = module.secrets.kms_key_arn
  log_group_arns           = ["arn:aws:logs:${local.region}:${local.account}:log-group:/atrium/containers"]
  services_write_logs      = true
  prometheus_workspace_arn = "arn:aws:aps:${local.region}:${local.account}:workspace/ws-1"
  guardrail_arns           = ["arn:aws:bedrock:${local.region}:${local.account}:guardrail/g1"]
}

output "secret_arns" {
  description = "The entries."
  value       = module.secrets.secret_arns
}

output "sealing_key" {
  description = "The sealing key."
  value       = module.secrets.sealing_kms_key_arn
}

output "secrets_key" {
  description = "The entries' key."
  value       = module.secrets.kms_key_arn
}

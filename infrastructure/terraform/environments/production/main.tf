# A call of the platform; what differs from the other environment are the sizes (diff ../dev/main.tf ../production/main.tf).
module "platform" {
  source = "../../modules/platform"

  environment = "production"
  overlay     = "production"

  account_id           = var.account_id
  region               = var.region
  azs                  = var.azs
  domain               = var.domain
  zone_id              = var.zone_id
  admin_principal_arns = var.admin_principal_arns
  alarm_emails         = var.alarm_emails
  model                = var.model

  github_repository        = var.github_repository
  github_oidc_provider_arn = var.github_oidc_provider_arn
  github_environments      = ["canary", "production"]
  registry_account_id      = var.registry_account_id
  image_reader_account_ids = var.image_reader_account_ids

  nat_per_az         = true
  api_private        = true
  api_access_cidrs   = var.api_access_cidrs
  kubernetes_version = "1.35"

  nodes = {
    instance_types = ["m7i.xlarge", "m6i.xlarge"]
    min_size       = 3
    desired_size   = 3
    max_size       = 9
  }

  postgres = {
    version               = "17"
    instance_class        = "db.m7g.large"
    storage_gb            = 100
    multi_az              = true
    backup_retention_days = 14
  }

  valkey = {
    node_type = "cache.m7g.large"
    replicas  = 1
  }

  log_retention_days   = 365
  protected            = true
  secret_recovery_days = 30

  backups = {
    retention_days = 35
    lock           = "governance"
    copy_vault_arn = var.backup_copy_vault_arn
  }
}

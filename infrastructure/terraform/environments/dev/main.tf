# A call of the platform; what differs from the other environment are the sizes (diff ../dev/main.tf ../production/main.tf).
module "platform" {
  source = "../../modules/platform"

  environment = "dev"
  overlay     = "staging"

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
  github_environments      = ["staging"]
  registry_account_id      = var.registry_account_id
  image_reader_account_ids = var.image_reader_account_ids

  nat_per_az         = false
  api_private        = false
  api_access_cidrs   = var.api_access_cidrs
  kubernetes_version = "1.35"

  nodes = {
    instance_types = ["m7i.xlarge", "m6i.xlarge"] # all of the overlay at once, and one pod more of each in a rollout
    min_size       = 2
    desired_size   = 2
    max_size       = 4
  }

  postgres = {
    version               = "17"
    instance_class        = "db.t4g.medium"
    storage_gb            = 20
    multi_az              = false
    backup_retention_days = 1
  }

  valkey = {
    node_type = "cache.t4g.small"
    replicas  = 0
  }

  log_retention_days   = 30
  protected            = false
  secret_recovery_days = 0

  backups = {
    retention_days = 7
    lock           = "none"
    copy_vault_arn = null
  }
}

# All modules, wired once; what differs from the other environment are the sizes (diff ../dev/main.tf ../production/main.tf).
locals {
  name           = "atrium-production"
  prometheus_log = "/aws/vendedlogs/prometheus/atrium-production" # the prefix is Amazon's
}

module "network" {
  source = "../../modules/network"

  name                    = local.name
  region                  = var.region
  azs                     = var.azs
  nat_per_az              = true
  flow_log_retention_days = 365
}

module "cluster" {
  source = "../../modules/cluster"

  name                     = local.name
  kubernetes_version       = "1.34"
  vpc_id                   = module.network.vpc_id
  vpc_cidr                 = module.network.vpc_cidr
  control_plane_subnet_ids = module.network.control_plane_subnet_ids
  private_access_only      = true
  private_access_cidrs     = var.api_access_cidrs
  admin_principal_arns     = var.admin_principal_arns
  log_retention_days       = 365
}

module "node_groups" {
  source = "../../modules/node-groups"

  name                   = local.name
  cluster_name           = module.cluster.cluster_name
  private_subnet_ids     = module.network.private_subnet_ids
  node_security_group_id = module.cluster.node_security_group_id
  oidc_provider_arn      = module.cluster.oidc_provider_arn
  oidc_issuer            = module.cluster.oidc_issuer
  instance_types         = ["m7i.xlarge", "m6i.xlarge"]
  min_size               = 3
  desired_size           = 3
  max_size               = 9
}

module "data" {
  source = "../../modules/data"

  name                      = local.name
  vpc_id                    = module.network.vpc_id
  data_subnet_ids           = module.network.data_subnet_ids
  client_security_group_ids = [module.cluster.node_security_group_id]
  postgres_version          = "17"
  instance_class            = "db.m7g.large"
  allocated_storage_gb      = 100
  multi_az                  = true
  backup_retention_days     = 14
  deletion_protection       = true
  valkey_node_type          = "cache.m7g.large"
  valkey_replicas           = 1
  force_destroy             = false
}

module "registry" {
  source = "../../modules/registry"

  name = local.name
}

module "secrets" {
  source = "../../modules/secrets"

  name                 = local.name
  recovery_window_days = 30
}

module "observability" {
  source = "../../modules/observability"

  name               = local.name
  log_group_names    = ["multi-tenant-chatbot", "/atrium/containers", local.prometheus_log]
  log_retention_days = 365
  alarm_emails       = var.alarm_emails
  metrics_namespace  = "MultiTenantChatbot"
  dashboards         = true
}

# Metrics that components/adot writes, and the rules over them: what is recorded, and what of it is an alert.
resource "aws_prometheus_workspace" "this" {
  alias = local.name

  logging_configuration {
    log_group_arn = "${module.observability.log_group_arns[local.prometheus_log]}:*" # a rule that fails says so here
  }
}

resource "aws_prometheus_rule_group_namespace" "atrium" {
  name         = "atrium"
  workspace_id = aws_prometheus_workspace.this.id
  data         = file("${path.module}/../../../monitoring/prometheus-rules.yaml")
}

module "identity" {
  source = "../../modules/identity"

  name                     = local.name
  account_id               = var.account_id
  region                   = var.region
  namespace                = "atrium"
  oidc_provider_arn        = module.cluster.oidc_provider_arn
  oidc_issuer              = module.cluster.oidc_issuer
  objects_bucket_arn       = module.data.objects_bucket_arn
  models_bucket_arn        = module.data.models_bucket_arn
  data_kms_key_arn         = module.data.kms_key_arn
  sealing_kms_key_arn      = module.secrets.sealing_kms_key_arn
  secrets_kms_key_arn      = module.secrets.kms_key_arn
  secret_arns              = module.secrets.secret_arns
  log_group_arns           = [for name, arn in module.observability.log_group_arns : arn if name != local.prometheus_log]
  metrics_namespace        = "MultiTenantChatbot"
  prometheus_workspace_arn = aws_prometheus_workspace.this.arn
}

module "edge" {
  source = "../../modules/edge"

  name                = local.name
  vpc_id              = module.network.vpc_id
  cluster_name        = module.cluster.cluster_name
  oidc_provider_arn   = module.cluster.oidc_provider_arn
  oidc_issuer         = module.cluster.oidc_issuer
  domain              = var.domain
  zone_id             = var.zone_id
  rate_limit_per_5min = 10000
}

module "backup" {
  source = "../../modules/backup"

  name                  = local.name
  postgres_instance_arn = module.data.postgres_instance_arn
  bucket_arns           = [module.data.objects_bucket_arn]
  schedule              = "cron(30 2 * * ? *)"
  retention_days        = 35
  restore_subnet_group  = module.data.postgres_subnet_group
  notify                = true
  topic_arn             = module.observability.topic_arn
  copy_vault_arn        = var.backup_copy_vault_arn
}

# What .github/workflows are in this account; without a repository nothing is.
module "delivery" {
  source = "../../modules/delivery"
  count  = var.github_repository == null ? 0 : 1

  name                = local.name
  repository          = var.github_repository
  oidc_provider_arn   = var.github_oidc_provider_arn
  account_id          = var.account_id
  region              = var.region
  repository_urls     = module.registry.repository_urls
  deploy_environments = ["canary", "production"]
  cluster_name        = module.cluster.cluster_name
  domain              = var.domain
}

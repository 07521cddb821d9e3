# All modules, wired once: an environment is a call of this with its sizes.
locals {
  name           = "atrium-${var.environment}"
  prometheus_log = "/aws/vendedlogs/prometheus/atrium-${var.environment}" # the prefix is Amazon's

  own_registry = var.registry_account_id == null
  image_names  = ["atrium-router", "atrium-orchestrator", "atrium-rag", "vllm-openai"]
  repository_urls = local.own_registry ? module.registry.repository_urls : {
    for image in local.image_names : image => "${var.registry_account_id}.dkr.ecr.${var.region}.amazonaws.com/${image}"
  }
}

module "network" {
  source = "../network"

  name                    = local.name
  region                  = var.region
  azs                     = var.azs
  nat_per_az              = var.nat_per_az
  flow_log_retention_days = var.log_retention_days
}

module "cluster" {
  source = "../cluster"

  name                     = local.name
  kubernetes_version       = var.kubernetes_version
  vpc_id                   = module.network.vpc_id
  vpc_cidr                 = module.network.vpc_cidr
  control_plane_subnet_ids = module.network.control_plane_subnet_ids
  private_access_only      = var.api_private
  private_access_cidrs     = var.api_private ? var.api_access_cidrs : []
  public_access_cidrs      = var.api_private ? [] : var.api_access_cidrs
  admin_principal_arns     = var.admin_principal_arns
  log_retention_days       = var.log_retention_days
}

module "node_groups" {
  source = "../node-groups"

  name                   = local.name
  cluster_name           = module.cluster.cluster_name
  private_subnet_ids     = module.network.private_subnet_ids
  node_security_group_id = module.cluster.node_security_group_id
  oidc_provider_arn      = module.cluster.oidc_provider_arn
  oidc_issuer            = module.cluster.oidc_issuer
  instance_types         = var.nodes.instance_types
  min_size               = var.nodes.min_size
  desired_size           = var.nodes.desired_size
  max_size               = var.nodes.max_size
}

module "data" {
  source = "../data"

  name                      = local.name
  vpc_id                    = module.network.vpc_id
  data_subnet_ids           = module.network.data_subnet_ids
  client_security_group_ids = [module.cluster.node_security_group_id]
  postgres_version          = var.postgres.version
  instance_class            = var.postgres.instance_class
  allocated_storage_gb      = var.postgres.storage_gb
  multi_az                  = var.postgres.multi_az
  backup_retention_days     = var.postgres.backup_retention_days
  deletion_protection       = var.protected
  valkey_node_type          = var.valkey.node_type
  valkey_replicas           = var.valkey.replicas
  force_destroy             = !var.protected
}

module "registry" {
  source = "../registry"

  name               = local.name
  repositories       = local.own_registry ? local.image_names : []
  reader_account_ids = var.image_reader_account_ids
}

module "secrets" {
  source = "../secrets"

  name                 = local.name
  recovery_window_days = var.secret_recovery_days
}

module "observability" {
  source = "../observability"

  name               = local.name
  log_group_names    = ["multi-tenant-chatbot", "/atrium/containers", local.prometheus_log]
  log_retention_days = var.log_retention_days
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
  source = "../identity"

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
  source = "../edge"

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
  source = "../backup"

  name                  = local.name
  postgres_instance_arn = module.data.postgres_instance_arn
  bucket_arns           = [module.data.objects_bucket_arn]
  schedule              = "cron(30 2 * * ? *)"
  retention_days        = var.backups.retention_days
  restore_subnet_group  = module.data.postgres_subnet_group
  notify                = true
  topic_arn             = module.observability.topic_arn
  copy_vault_arn        = var.backups.copy_vault_arn
  lock                  = var.backups.lock
  force_destroy         = !var.protected
}

# What .github/workflows are in this account; without a repository nothing is.
module "delivery" {
  source = "../delivery"
  count  = var.github_repository == null ? 0 : 1

  name                = local.name
  repository          = var.github_repository
  oidc_provider_arn   = var.github_oidc_provider_arn
  account_id          = var.account_id
  region              = var.region
  repository_urls     = local.own_registry ? module.registry.repository_urls : {}
  deploy_environments = var.github_environments
  cluster_name        = module.cluster.cluster_name
  domain              = var.domain
}

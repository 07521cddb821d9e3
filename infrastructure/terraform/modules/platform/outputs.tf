output "kustomization" {
  description = "What becomes infrastructure/kubernetes/accounts/OVERLAY/kustomization.yaml."
  value = templatefile("${path.module}/../../templates/kustomization.yaml.tftpl", {
    environment           = var.environment
    overlay               = var.overlay
    region                = var.region
    cluster               = module.cluster.cluster_name
    domain                = var.domain
    model                 = var.model
    repository_urls       = local.repository_urls
    objects_bucket        = module.data.objects_bucket
    models_bucket         = module.data.models_bucket
    service_account_roles = local.service_account_roles
    tenant_role_arns      = module.identity.tenant_role_arns
    karpenter_node_role   = module.node_groups.karpenter_node_role_name
    certificate_arn       = module.edge.certificate_arn
    web_acl_arn           = module.edge.web_acl_arn
    prometheus_endpoint   = aws_prometheus_workspace.this.prometheus_endpoint
  })
}

output "migrations" {
  description = "What becomes infrastructure/kubernetes/accounts/OVERLAY/migrations/kustomization.yaml."
  value = templatefile("${path.module}/../../templates/migrations.yaml.tftpl", {
    overlay         = var.overlay
    repository_urls = local.repository_urls
  })
}

locals {
  # The manifests call Fluent Bit's service account after the project: it lives in kube-system.
  service_account_roles = {
    for service, arn in module.identity.role_arns : service == "fluent-bit" ? "atrium-fluent-bit" : service => arn
  }
}

output "helm" {
  description = "What the charts of ../../README.md are told."
  value = {
    cluster_name            = module.cluster.cluster_name
    region                  = var.region
    vpc_id                  = module.network.vpc_id
    alb_controller_role_arn = module.edge.alb_controller_role_arn
    external_dns_role_arn   = module.edge.external_dns_role_arn
    karpenter_role_arn      = module.node_groups.karpenter_role_arn
    karpenter_queue_name    = module.node_groups.karpenter_queue_name
  }
}

output "kubeconfig" {
  description = "The command that lets kubectl in."
  value       = "aws eks update-kubeconfig --region ${var.region} --name ${module.cluster.cluster_name}"
}

output "registry" {
  description = "Where images are: pushed to by this account, or read from another's."
  value       = local.repository_urls
}

output "stores" {
  description = "What DATABASE_URL, MIGRATION_DATABASE_URL and REDIS_URL name, and where the passwords are."
  value = {
    postgres_address           = module.data.postgres_address
    postgres_port              = module.data.postgres_port
    postgres_master_secret_arn = module.data.postgres_master_secret_arn
    valkey_address             = module.data.valkey_address
    valkey_port                = module.data.valkey_port
    valkey_user                = module.data.valkey_user
    valkey_secret_arn          = module.data.valkey_secret_arn
    models_bucket              = module.data.models_bucket
  }
}

output "secrets" {
  description = "Entries that the operator fills."
  value       = module.secrets.secret_arns
}

output "sealing_key" {
  description = "KMS_KEY_ID, where tenants bring engines of their own."
  value       = module.secrets.sealing_kms_key_arn
}

output "alarms" {
  description = "Alarm to ARN."
  value       = module.observability.alarm_arns
}

output "backup" {
  description = "What ../../backup.md asks for."
  value = {
    vault                      = module.backup.vault_name
    plan                       = module.backup.plan_id
    role                       = module.backup.role_arn
    postgres_subnet_group      = module.data.postgres_subnet_group
    postgres_security_group_id = module.data.postgres_security_group_id
    kms_key_arn                = module.data.kms_key_arn
  }
}

output "github" {
  description = "Variables of the repository and of its environments on GitHub; null without one."
  value = one([for delivery in module.delivery : {
    repository   = delivery.repository_variables
    environments = delivery.environment_variables
  }])
}

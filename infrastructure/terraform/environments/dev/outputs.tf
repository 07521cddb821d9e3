output "kustomization" {
  description = "terraform output -raw kustomization > infrastructure/kubernetes/accounts/staging/kustomization.yaml"
  value       = module.platform.kustomization
}

output "migrations" {
  description = "terraform output -raw migrations > infrastructure/kubernetes/accounts/staging/migrations/kustomization.yaml"
  value       = module.platform.migrations
}

output "helm" {
  description = "What the charts of ../../README.md are told."
  value       = module.platform.helm
}

output "kubeconfig" {
  description = "The command that lets kubectl in."
  value       = module.platform.kubeconfig
}

output "registry" {
  description = "Where images are: pushed to by this account, or read from another's."
  value       = module.platform.registry
}

output "stores" {
  description = "What DATABASE_URL, MIGRATION_DATABASE_URL and REDIS_URL name, and where the passwords are."
  value       = module.platform.stores
}

output "secrets" {
  description = "Entries that the operator fills."
  value       = module.platform.secrets
}

output "sealing_key" {
  description = "KMS_KEY_ID, where tenants bring engines of their own."
  value       = module.platform.sealing_key
}

output "alarms" {
  description = "Alarm to ARN."
  value       = module.platform.alarms
}

output "backup" {
  description = "What ../../backup.md asks for."
  value       = module.platform.backup
}

output "github" {
  description = "Variables of the repository and of its environments on GitHub; null without one."
  value       = module.platform.github
}

output "vault_name" {
  description = "The vault."
  value       = aws_backup_vault.this.name
}

output "vault_arn" {
  description = "The vault's ARN: what another environment's copy_vault_arn is."
  value       = aws_backup_vault.this.arn
}

output "plan_id" {
  description = "The plan of PostgreSQL."
  value       = aws_backup_plan.postgres.id
}

output "objects_plan_id" {
  description = "The plan of the buckets."
  value       = aws_backup_plan.objects.id
}

output "role_arn" {
  description = "The role that backs up and restores: `--iam-role-arn` of a restore (backup.md)."
  value       = aws_iam_role.this.arn
}

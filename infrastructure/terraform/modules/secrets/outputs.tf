output "secret_arns" {
  description = "ARN of each entry, by its name in var.entries."
  value       = { for entry, secret in aws_secretsmanager_secret.this : entry => secret.arn }
}

output "secret_names" {
  description = "Name of each entry in Secrets Manager, by its name in var.entries."
  value       = { for entry, secret in aws_secretsmanager_secret.this : entry => secret.name }
}

output "kms_key_arn" {
  description = "The key that encrypts the entries: usable through Secrets Manager alone."
  value       = aws_kms_key.secrets.arn
}

output "sealing_kms_key_arn" {
  description = "The key that seals tenants' keys for engines of their own: KMS_KEY_ID of router and orchestrator."
  value       = aws_kms_key.sealing.arn
}

output "role_arns" {
  description = "ARN of each service account's role: router, orchestrator, rag, vllm, secrets-reader, fluent-bit, adot."
  value       = { for service, role in aws_iam_role.this : service => role.arn }
}

output "role_names" {
  description = "Name of each, by the same."
  value       = { for service, role in aws_iam_role.this : service => role.name }
}

output "tenant_role_arns" {
  description = "OBJECT_STORE_ROLE_ARN of router and rag: the role for one tenant's objects."
  value       = { for service, role in aws_iam_role.tenant : service => role.arn }
}

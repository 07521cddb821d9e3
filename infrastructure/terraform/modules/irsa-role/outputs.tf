output "arn" {
  description = "The role's ARN: the service account's annotation eks.amazonaws.com/role-arn."
  value       = aws_iam_role.this.arn
}

output "name" {
  description = "The role's name."
  value       = aws_iam_role.this.name
}

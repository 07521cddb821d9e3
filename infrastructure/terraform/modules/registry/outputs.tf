output "repository_urls" {
  description = "Repository to URL, as docker push takes it."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "repository_arns" {
  description = "Repository to ARN."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.arn }
}

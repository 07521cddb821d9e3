output "postgres_address" {
  description = "Host of PostgreSQL."
  value       = aws_db_instance.this.address
}

output "postgres_port" {
  description = "Port of PostgreSQL."
  value       = aws_db_instance.this.port
}

output "postgres_instance_arn" {
  description = "ARN of the instance."
  value       = aws_db_instance.this.arn
}

output "postgres_identifier" {
  description = "Name of the instance, which is its dimension in CloudWatch."
  value       = aws_db_instance.this.identifier
}

output "postgres_subnet_group" {
  description = "The subnet group, which a restore needs."
  value       = aws_db_subnet_group.this.name
}

output "postgres_security_group_id" {
  description = "The security group, which a restore needs."
  value       = aws_security_group.postgres.id
}

output "postgres_master_secret_arn" {
  description = "Secret with the password of atrium_master, made and replaced by RDS: it makes the roles, and owns nothing of ours."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}

output "valkey_address" {
  description = "Host of Valkey's primary, whichever node it is."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}

output "valkey_port" {
  description = "Port of Valkey."
  value       = aws_elasticache_replication_group.this.port
}

output "valkey_replication_group_id" {
  description = "Name of the replication group."
  value       = aws_elasticache_replication_group.this.replication_group_id
}

output "valkey_user" {
  description = "The user in REDIS_URL, and its id."
  value       = aws_elasticache_user.atrium.user_id
}

output "valkey_secret_arn" {
  description = "Secret for that user's password: empty until the operator puts one."
  value       = aws_secretsmanager_secret.valkey.arn
}

output "objects_bucket" {
  description = "Bucket of OBJECT_STORE_URL."
  value       = aws_s3_bucket.this["objects"].id
}

output "objects_bucket_arn" {
  description = "Its ARN."
  value       = aws_s3_bucket.this["objects"].arn
}

output "models_bucket" {
  description = "Bucket of MODEL_SOURCE."
  value       = aws_s3_bucket.this["models"].id
}

output "models_bucket_arn" {
  description = "Its ARN."
  value       = aws_s3_bucket.this["models"].arn
}

output "kms_key_arn" {
  description = "The key that encrypts all of it."
  value       = aws_kms_key.this.arn
}

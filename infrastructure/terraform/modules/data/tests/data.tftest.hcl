mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "us-east-1" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/data" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/monitoring" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::a-bucket" }
  }
}

variables {
  name                      = "atrium-test"
  vpc_id                    = "vpc-1"
  data_subnet_ids           = ["subnet-1", "subnet-2", "subnet-3"]
  client_security_group_ids = ["sg-nodes"]
}

run "the_database_is_encrypted_doubled_and_restorable" {
  command = apply

  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.storage_encrypted && aws_db_instance.this.deletion_protection
    error_message = "two zones, encrypted, protected"
  }
  assert {
    condition     = aws_db_instance.this.backup_retention_period == 14 && !aws_db_instance.this.skip_final_snapshot
    error_message = "restorable to any second of two weeks, and a last snapshot"
  }
  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null
    error_message = "RDS keeps the owner's password, the state does not"
  }
  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.performance_insights_enabled && aws_db_instance.this.iam_database_authentication_enabled
    error_message = "private, with insights, with logins by IAM"
  }
  assert {
    condition     = one([for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "rds.force_ssl"]) == "1"
    error_message = "no connection without TLS"
  }
  assert {
    condition     = one([for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "log_parameter_max_length"]) == "0"
    error_message = "no tenant's text in PostgreSQL's log"
  }
}

run "valkey_never_evicts_and_asks_for_a_user" {
  command = apply

  assert {
    condition     = [for parameter in aws_elasticache_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"] == ["maxmemory-policy=noeviction"]
    error_message = "a lease that is evicted is a limit that does not hold"
  }
  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_mode == "required" && tobool(aws_elasticache_replication_group.this.at_rest_encryption_enabled)
    error_message = "TLS and encryption"
  }
  assert {
    condition     = aws_elasticache_replication_group.this.multi_az_enabled && aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.num_cache_clusters == 2
    error_message = "a second node in another zone"
  }
  assert {
    condition     = aws_elasticache_user.atrium.passwords == null && startswith(aws_elasticache_user.atrium.access_string, "on ~atrium:* &atrium:* -@all ")
    error_message = "one user, of Atrium's keys alone, whose password is not in the state"
  }
}

run "buckets_are_private_versioned_and_forget" {
  command = apply

  assert {
    condition     = output.objects_bucket != output.models_bucket && aws_s3_bucket.this["objects"].bucket == "atrium-test-123456789012"
    error_message = "named after the environment and the account"
  }
  assert {
    condition     = alltrue([for one in aws_s3_bucket_versioning.this : one.versioning_configuration[0].status == "Enabled"])
    error_message = "versioned"
  }
  assert {
    condition     = alltrue([for one in aws_s3_bucket_lifecycle_configuration.this : one.rule[0].noncurrent_version_expiration[0].noncurrent_days == 7 && one.rule[0].status == "Enabled"])
    error_message = "an old version is gone after a week"
  }
  assert {
    condition     = alltrue([for one in aws_s3_bucket_public_access_block.this : one.block_public_acls && one.block_public_policy && one.ignore_public_acls && one.restrict_public_buckets])
    error_message = "nothing public"
  }
  assert {
    condition     = alltrue([for one in aws_s3_bucket_policy.this : jsondecode(one.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"])
    error_message = "nothing without TLS"
  }
}

run "without_a_standby_no_replica_is_needed" {
  command = plan

  variables {
    multi_az            = false
    valkey_replicas     = 0
    deletion_protection = false
    force_destroy       = true
  }

  assert {
    condition     = !aws_db_instance.this.multi_az && aws_db_instance.this.skip_final_snapshot && aws_elasticache_replication_group.this.num_cache_clusters == 1
    error_message = "small, and may be lost"
  }
}

run "a_standby_needs_a_replica" {
  command = plan

  variables {
    valkey_replicas = 0
  }

  expect_failures = [var.valkey_replicas]
}

run "values_that_cannot_be_are_refused" {
  command = plan

  variables {
    name                  = "Atrium_1"
    postgres_version      = "15"
    backup_retention_days = 0
    noncurrent_days       = 0
    data_subnet_ids       = ["subnet-1"]
  }

  expect_failures = [var.name, var.postgres_version, var.backup_retention_days, var.noncurrent_days, var.data_subnet_ids]
}

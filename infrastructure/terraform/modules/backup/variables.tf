variable "name" {
  description = "What the environment's resources are called after, as atrium-production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is 3 to 32 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "postgres_instance_arn" {
  description = "The RDS instance."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:rds:[a-z0-9-]+:[0-9]{12}:db:", var.postgres_instance_arn))
    error_message = "postgres_instance_arn is the ARN of an RDS instance."
  }
}

variable "bucket_arns" {
  description = "Versioned buckets to back up."
  type        = list(string)

  validation {
    condition     = length(var.bucket_arns) > 0 && alltrue([for arn in var.bucket_arns : can(regex("^arn:[a-z-]+:s3:::[^/*]+$", arn))])
    error_message = "bucket_arns are ARNs of buckets, at least one."
  }
}

variable "schedule" {
  description = "When a recovery point of PostgreSQL is made, and the buckets' continuous backup looked after: a cron of AWS Backup, in UTC."
  type        = string
  default     = "cron(30 2 * * ? *)"

  validation {
    condition     = can(regex("^cron\\(.+\\)$", var.schedule))
    error_message = "schedule is cron(minute hour day month weekday year)."
  }
}

variable "retention_days" {
  description = "How long a recovery point is kept. A deleted tenant is in backups for as long (backup.md); more than 35 days the buckets' continuous backup cannot have."
  type        = number
  default     = 35

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 35 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days is 1 to 35."
  }
}

variable "copy_vault_arn" {
  description = "A vault in another region or account, to which PostgreSQL's recovery points and a daily one of the buckets are copied. null: none."
  type        = string
  default     = null

  validation {
    condition     = var.copy_vault_arn == null || can(regex("^arn:[a-z-]+:backup:[a-z0-9-]+:[0-9]{12}:backup-vault:", var.copy_vault_arn))
    error_message = "copy_vault_arn is the ARN of a backup vault."
  }
}

variable "lock" {
  description = "Keep everybody, the account's administrators included, from deleting a recovery point before its time: none; governance (who may change the lock may lift it); or compliance (nobody, not even AWS, three days after it was set)."
  type        = string
  default     = "governance"

  validation {
    condition     = contains(["none", "governance", "compliance"], var.lock)
    error_message = "lock is none, governance or compliance."
  }
}

variable "restore_test_schedule" {
  description = "When AWS Backup restores the newest recovery points by itself and throws the copies away: a cron, in UTC. null: never."
  type        = string
  default     = "cron(0 5 ? * SUN *)"

  validation {
    condition     = var.restore_test_schedule == null || can(regex("^cron\\(.+\\)$", var.restore_test_schedule))
    error_message = "restore_test_schedule is cron(minute hour day month weekday year), or null."
  }
}

variable "restore_subnet_group" {
  description = "DB subnet group that tests restore PostgreSQL into. null: the one AWS Backup infers."
  type        = string
  default     = null
}

variable "notify" {
  description = "Tell topic_arn of jobs that failed or expired."
  type        = bool
  default     = false
}

variable "topic_arn" {
  description = "SNS topic that is told, with notify."
  type        = string
  default     = null

  validation {
    condition     = var.topic_arn == null || can(regex("^arn:[a-z-]+:sns:", var.topic_arn))
    error_message = "topic_arn is the ARN of an SNS topic."
  }
}

variable "force_destroy" {
  description = "Let destroy remove the vault with its recovery points. For an environment that may be lost."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}

variable "postgres_version" {
  description = "Major version of PostgreSQL; minor ones come in the maintenance window."
  type        = string
  default     = "17"

  validation {
    condition     = can(regex("^(1[6-9]|[2-9][0-9])(\\.[0-9]+)?$", var.postgres_version))
    error_message = "postgres_version is 16 or newer."
  }
}

variable "instance_class" {
  description = "Size of the database's instances."
  type        = string
  default     = "db.m7g.large"

  validation {
    condition     = startswith(var.instance_class, "db.")
    error_message = "instance_class begins with db."
  }
}

variable "allocated_storage_gb" {
  description = "Storage at the start, in GB; it grows by itself up to five times as much."
  type        = number
  default     = 100

  validation {
    condition     = var.allocated_storage_gb >= 20 && var.allocated_storage_gb <= 13000 && floor(var.allocated_storage_gb) == var.allocated_storage_gb
    error_message = "allocated_storage_gb is 20 to 13000."
  }
}

variable "multi_az" {
  description = "Keep a standby in another zone, for PostgreSQL and Valkey, and fail over to it."
  type        = bool
  default     = true
}

variable "backup_retention_days" {
  description = "How far back PostgreSQL can be restored to any second, in days. A deleted tenant is in there for as long."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 35 && floor(var.backup_retention_days) == var.backup_retention_days
    error_message = "backup_retention_days is 1 to 35: without continuous backup there is no restore to a point in time."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the database until this is false."
  type        = bool
  default     = true
}
